//! `tidings state edit`: edits a shared value in the editor of the user.

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{self, Command};

use serde_json::Value;
use tidings::Shared;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::commands::state::print_written;
use crate::exit::{Exit, Problem};
use crate::output;
use crate::terminal::{escape, escaped_json};

pub(crate) async fn edit(app: &App, state: &Shared<Value>) -> anyhow::Result<Exit> {
    let editor = editor()?;
    let before = state.refresh().await?;
    let old = before.value().map_or(&Value::Null, |value| &**value);
    let draft = Draft::create(&(escaped_json(old, true)? + "\n"))?;
    let text = draft.edit(&editor)?;
    let new: Value = serde_json::from_str(&text)
        .map_err(|error| draft.keep(&format!("the text is not JSON: {}", escape(error))))?;
    if new == *old {
        draft.remove();
        if app.is_json() {
            print_written(app, state, &before)?;
        } else {
            output::result(format_args!("{} is unchanged", escape(state.name())))?;
        }
        return Ok(Exit::Done);
    }
    match state.compare_and_set(&before, &new).await {
        Ok(Ok(written)) => {
            draft.remove();
            print_written(app, state, &written)?;
            Ok(Exit::Done)
        }
        Ok(Err(found)) => {
            let (name, version) = (escape(state.name()), found.version());
            let text = format!("{name} was changed in the meantime, and is at version {version}");
            Err(draft.keep(&text).into())
        }
        Err(error) => {
            let path = escape(draft.path.display());
            let context = format!("cannot write the value; your text is in {path}");
            Err(anyhow::Error::new(error).context(context))
        }
    }
}

fn editor() -> Result<String, Problem> {
    let named = ["VISUAL", "EDITOR"]
        .into_iter()
        .filter_map(|name| env::var(name).ok())
        .find(|editor| !editor.is_empty());
    named.ok_or_else(|| {
        Problem::usage("no editor is set")
            .help("set the variable EDITOR, or use `tidings state set`")
    })
}

/// A file with the text that is edited.
struct Draft {
    path: PathBuf,
}

impl Draft {
    /// Creates a file that only this user can read.
    fn create(text: &str) -> Result<Self, Problem> {
        let mut number = 0_u32;
        loop {
            let name = format!("tidings-{}-{number}.json", process::id());
            let path = env::temp_dir().join(name);
            let mut options = File::options();
            let created = options.write(true).create_new(true).mode(0o600).open(&path);
            let written = match created {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && number < 100 => {
                    number += 1;
                    continue;
                }
                created => created.and_then(|mut file| file.write_all(text.as_bytes())),
            };
            let shown = escape(path.display());
            written.map_err(|error| Problem::failed(format!("cannot write {shown}: {error}")))?;
            return Ok(Self { path });
        }
    }

    /// Waits for the editor, and returns the new text.
    fn edit(&self, editor: &str) -> Result<String, Problem> {
        // A shell, because an editor may have arguments. Ctrl-C and Ctrl-\ in the terminal are for the
        // editor, but reach the shell and this process, too. Both catch them and do not ignore them: an
        // ignored signal would stay ignored in the editor.
        let script = format!("trap : INT QUIT; {editor} \"$1\"");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script, "tidings"]).arg(&self.path);
        let _caught = [SignalKind::interrupt(), SignalKind::quit()].map(signal);
        let status = command.status();
        let status = status
            .map_err(|error| Problem::failed(format!("cannot run {}: {error}", escape(editor))))?;
        if !status.success() {
            return Err(self.keep(&format!("{} failed: {status}", escape(editor))));
        }
        fs::read_to_string(&self.path).map_err(|error| {
            let shown = escape(self.path.display());
            Problem::failed(format!("cannot read {shown}: {error}"))
        })
    }

    /// Returns an error that says where the text is.
    fn keep(&self, why: &str) -> Problem {
        let path = escape(self.path.display());
        Problem::failed(format!("{why}; nothing was changed"))
            .help(format!("your text is in {path}"))
    }

    fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}
