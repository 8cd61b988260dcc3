//! Checks a payload against the contract of the project, before it is sent.

use serde_json::Value;

use crate::app::App;
use crate::commands::schema::source::read;
use crate::contract::unreadable;
use crate::exit::Problem;
use crate::settings;
use crate::terminal::escape;

/// Refuses a payload that no handler can read, if the project has a contract.
pub(crate) fn check_payload(app: &App, event: &str, data: &Value) -> Result<(), Problem> {
    let Some(path) = settings::project()?.and_then(|project| project.contract) else {
        return Ok(());
    };
    let read = match read(&path) {
        Ok(read) => read,
        Err(problem) => {
            app.warn(&format!("the payload is not checked: {problem}"));
            return Ok(());
        }
    };
    let reasons = match unreadable(&read.contract, event, data) {
        Ok(reasons) => reasons,
        Err(problem) => {
            app.warn(&format!("the payload is not checked: {}", escape(problem)));
            return Ok(());
        }
    };
    let Some(first) = reasons.first() else {
        return Ok(());
    };
    let (event, path, what) = (escape(event), escape(&first.path), escape(&first.what));
    let text = format!(
        "no handler can read this payload of `{event}`, as {} says: {path}: {what}",
        read.name
    );
    Err(Problem::usage(text).help("--force sends it all the same"))
}
