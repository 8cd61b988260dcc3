//! Counts the instructions of an event, step by step, with callgrind: `cargo xtask bench
//! --instructions`.
//!
//! Counts do not depend on the load of the machine, so a test compares them with the budgets in
//! `instructions.toml`.

mod budget;
mod callgrind;
mod count;
mod report;
mod rules;
mod step;

use std::env;
use std::path::Path;

use anyhow::{Result, bail};

use budget::Budgets;
use count::count;

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let show = Show::parse(&arguments)?;
    let counted = count()?;
    match show {
        Show::Table => {
            let findings = Budgets::read()?.judge(&counted)?;
            print!("{}\n{findings}", report::tables(&counted));
        }
        Show::Json => println!("{}", report::json(&counted)),
        Show::Budget => Budgets::renew(&counted)?,
    }
    Ok(())
}

/// The folder of this package, which has the files of budgets and of compiler options.
fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    Table,
    Json,
    /// Writes the counts into the file of budgets.
    Budget,
}

impl Show {
    fn parse(arguments: &[String]) -> Result<Self> {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        Ok(match *arguments {
            [] => Self::Table,
            ["--json"] => Self::Json,
            ["--budget"] => Self::Budget,
            _ => bail!("expected `--json`, `--budget` or nothing, not {arguments:?}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(not(target_os = "linux"), ignore = "valgrind runs on Linux")]
    fn an_event_takes_no_more_instructions_than_its_budget() {
        let counted = count().unwrap();
        let findings = Budgets::read().unwrap().judge(&counted).unwrap();

        println!("{findings}");
        assert!(
            findings.excesses.is_empty(),
            "{findings}`cargo xtask bench --instructions` shows them by step"
        );
    }
}
