//! Asks before something is written to a protected context, or removed.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::app::App;
use crate::exit::Problem;
use crate::settings::Settings;
use crate::terminal::escape;

/// Asks for the name of the context if it is protected.
pub(crate) fn write(app: &App, settings: &Settings) -> Result<(), Problem> {
    let Some(context) = settings.context.as_ref().filter(|_| settings.is_protected) else {
        return Ok(());
    };
    let name = &context.value;
    let shown = escape(name);
    let refused = |text: &str| {
        let help = format!("add --yes={shown} if you mean it");
        Err(Problem::failed(text).help(help))
    };
    match &app.global.yes {
        Some(yes) if yes == name => return Ok(()),
        Some(_) => return refused(&format!("the context `{shown}` is protected")),
        None => {}
    }
    let question = format!("The context is protected. Type its name to go on: {shown}\n> ");
    match answer(&question) {
        Some(answer) if answer == *name => Ok(()),
        Some(_) => Err(Problem::failed(
            "that is not its name, and nothing was done",
        )),
        None => refused(&format!(
            "the context `{shown}` is protected, and there is no terminal to ask"
        )),
    }
}

/// Asks before `what` is removed.
pub(crate) fn removal(app: &App, settings: &Settings, what: &str) -> Result<(), Problem> {
    let question = format!("Remove {what}?");
    let does = format!("this removes {what}");
    action(app, settings, &question, &does, "nothing was removed")
}

/// Asks before a master hands over.
pub(crate) fn failover(app: &App, settings: &Settings, master: &str) -> Result<(), Problem> {
    let question = format!("Replace the master {master}?");
    let does = format!("this replaces the master {master}");
    action(app, settings, &question, &does, "nothing was changed")
}

fn action(
    app: &App,
    settings: &Settings,
    question: &str,
    does: &str,
    otherwise: &str,
) -> Result<(), Problem> {
    if settings.is_protected {
        return write(app, settings);
    }
    if app.global.yes.is_some() {
        return Ok(());
    }
    match answer(&format!("{question} [y/N] ")) {
        Some(answer) if matches!(&*answer, "y" | "Y" | "yes") => Ok(()),
        Some(_) => Err(Problem::failed(otherwise)),
        None => {
            let text = format!("{does}, and there is no terminal to ask");
            Err(Problem::failed(text).help("add --yes if you mean it"))
        }
    }
}

/// Returns the answer to a question; `None` without a terminal.
fn answer(question: &str) -> Option<String> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{question}").and_then(|()| stderr.flush());
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).ok()?;
    Some(line.trim().to_owned())
}
