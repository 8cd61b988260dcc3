//! `tidings doctor`: checks the servers, the namespace and its members, and says how to cure what is
//! wrong.

mod checks;
mod command;
mod facts;
mod finding;
mod gather;
mod print;

use crate::app::App;
use crate::commands::doctor::checks::CHECKS;
use crate::commands::doctor::facts::Facts;
use crate::commands::doctor::gather::gather;
use crate::commands::doctor::print::{Checked, print};
use crate::exit::Exit;

pub(crate) async fn doctor(app: &App) -> anyhow::Result<Exit> {
    let settings = app.settings()?;
    let facts = gather(app, &settings).await?;
    let tally = print(app, &check(&facts))?;
    Ok(if tally.errors > 0 {
        Exit::Incomplete
    } else {
        Exit::Done
    })
}

fn check(facts: &Facts) -> Vec<Checked> {
    let all = CHECKS.iter().map(|check| Checked {
        id: check.id,
        findings: (check.look)(facts),
    });
    all.collect()
}
