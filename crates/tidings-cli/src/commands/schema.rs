//! `tidings schema`: checks whether another version can read the events.

mod check;
mod diff;
mod git;
mod lint;
mod print;
mod source;

use crate::app::App;
use crate::args::SchemaAction;
use crate::exit::Exit;

pub(crate) fn schema(app: &App, action: &SchemaAction) -> anyhow::Result<Exit> {
    match action {
        SchemaAction::Check(check) => check::check(app, check),
        SchemaAction::Diff(diff) => diff::diff(app, diff),
        SchemaAction::Lint(contract) => lint::lint(app, contract.file.as_deref()),
    }
}
