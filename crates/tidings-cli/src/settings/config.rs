//! The file of the user, `~/.config/tidings/config.toml`: contexts, which may have passwords.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::exit::Problem;
use crate::settings::address::Address;
use crate::settings::not_parsed;

/// The mode bits of everybody but the owner.
const OTHERS: u32 = 0o077;

/// The path that is shown if there is no home directory to read it from.
const WITHOUT_HOME: &str = "~/.config/tidings/config.toml (HOME is not set)";

/// The contexts of the user.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(skip)]
    pub(crate) path: PathBuf,
    /// The name of the default context.
    pub(crate) context: Option<String>,
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// An address with its namespace, by name.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    pub(crate) url: Address,
    pub(crate) namespace: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) protect: bool,
}

impl Config {
    /// Reads the file; without one there are no contexts.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, Problem> {
        let Some(path) = path else {
            return Ok(Self {
                path: WITHOUT_HOME.into(),
                ..Self::default()
            });
        };
        let nothing = || Self {
            path: path.to_owned(),
            ..Self::default()
        };
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(nothing()),
            text => text.map_err(|error| not_read(path, &error))?,
        };
        let config = Self::parse(path, &text)?;
        config.check_mode()?;
        Ok(config)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Problem> {
        let config: Self = toml::from_str(text).map_err(|error| not_parsed(path, text, &error))?;
        Ok(Self {
            path: path.to_owned(),
            ..config
        })
    }

    /// Refuses a file with a password that other users can read.
    fn check_mode(&self) -> Result<(), Problem> {
        if !self
            .contexts
            .values()
            .any(|context| context.url.has_password())
        {
            return Ok(());
        }
        let path = self.path.display();
        let metadata = fs::metadata(&self.path).map_err(|error| not_read(&self.path, &error))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & OTHERS == 0 {
            return Ok(());
        }
        let text =
            format!("{path} has a password, and its mode {mode:03o} lets other users use it");
        Err(Problem::usage(text).help(format!("chmod 600 {path}")))
    }

    /// Returns the context with this name.
    pub(crate) fn context(&self, name: &str) -> Result<&Context, Problem> {
        self.contexts.get(name).ok_or_else(|| {
            let known: Vec<_> = self.contexts.keys().map(String::as_str).collect();
            let path = self.path.display();
            let help = if known.is_empty() {
                format!("add it to {path}: [contexts.{name}] with `url = \"redis://…\"`")
            } else {
                format!("the contexts in {path} are: {}", known.join(", "))
            };
            Problem::usage(format!("there is no context `{name}`")).help(help)
        })
    }

    /// Makes a context the default, and leaves the rest of the file as it is.
    pub(crate) fn use_context(&self, name: &str) -> Result<(), Problem> {
        self.context(name)?;
        let not_written = |error: &dyn std::fmt::Display| {
            Problem::failed(format!("cannot write {}: {error}", self.path.display()))
        };
        let text = fs::read_to_string(&self.path).map_err(|error| not_read(&self.path, &error))?;
        let changed = with_default(&text, name);
        let read = Self::parse(&self.path, &changed)?;
        if read.context.as_deref() != Some(name) || read.contexts != self.contexts {
            return Err(not_written(&"its form is not understood")
                .help(format!("write `context = \"{name}\"` in its first line")));
        }
        // A file that was linked from elsewhere stays there.
        let path = fs::canonicalize(&self.path).map_err(|error| not_written(&error))?;
        let mode = fs::metadata(&path)
            .map_err(|error| not_written(&error))?
            .permissions()
            .mode();
        let next = path.with_extension(format!("toml.{}", std::process::id()));
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode & 0o777)
            .open(&next)
            .and_then(|mut file| file.write_all(changed.as_bytes()))
            .and_then(|()| fs::rename(&next, &path));
        written.map_err(|error| {
            let _ = fs::remove_file(&next);
            not_written(&error)
        })
    }
}

fn not_read(path: &Path, error: &std::io::Error) -> Problem {
    Problem::usage(format!("cannot read {}: {error}", path.display()))
}

/// Returns the text with another default context, in place of the old one or in the first line.
fn with_default(text: &str, name: &str) -> String {
    let line = format!("context = \"{name}\"");
    let mut is_before_tables = true;
    let mut lines: Vec<&str> = text.lines().collect();
    let place = lines.iter().position(|line| {
        is_before_tables &= !line.trim_start().starts_with('[');
        let key = line.split('=').next().unwrap_or_default();
        is_before_tables && key.trim() == "context"
    });
    match place {
        Some(place) => lines[place] = &line,
        None => lines.insert(0, &line),
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_default_leaves_the_rest_of_the_file_as_it_is() {
        let tables = "# mine\n[contexts.dev]\nurl = \"redis://a\"\n";
        let first = with_default(tables, "dev");
        assert_eq!(first, format!("context = \"dev\"\n{tables}"));
        assert_eq!(
            with_default(&first, "staging"),
            format!("context = \"staging\"\n{tables}")
        );
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it_and_no_value_is_shown() {
        let path = Path::new("config.toml");
        let misspelled = "[contexts.a]\nurl = \"redis://a\"\nprotected = true\n";
        let error = Config::parse(path, misspelled).unwrap_err().to_string();
        assert!(
            error.contains("line 3") && error.contains("`protected`"),
            "{error}"
        );
        for text in [
            "context = \"hush",
            "[contexts.a]\nurl = 1\nprotect = \"hush\"",
        ] {
            let error = Config::parse(path, text).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
