//! `tidings schema`: checks whether another version can read the events.

mod check;
mod diff;
mod export;
mod fleet;
mod git;
mod lint;
mod payload;
mod print;
mod source;

use crate::app::App;
use crate::args::SchemaAction;
use crate::exit::Exit;

pub(crate) use self::check::exceptions;
#[cfg(feature = "console")]
pub(crate) use self::fleet::contract_of;
pub(crate) use self::fleet::{TIME, by_contract, names_of, read_each, still_running};
pub(crate) use self::payload::{PayloadCheck, check_payload};
pub(crate) use self::source::{Read, not_compared};

pub(crate) async fn schema(app: &App, action: &SchemaAction) -> anyhow::Result<Exit> {
    match action {
        SchemaAction::Check(check) => check::check(app, check).await,
        SchemaAction::Diff(diff) => diff::diff(app, diff),
        SchemaAction::Export(export) => export::export(app, export),
        SchemaAction::Lint(contract) => lint::lint(app, contract.file.as_deref()),
    }
}
