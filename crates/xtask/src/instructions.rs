//! `cargo xtask bench --instructions`: where the instructions of an event go, counted by callgrind.
//!
//! Counts do not depend on how busy the machine is, so that they can be part of the ordinary tests:
//! `crates/tidings-steps/instructions.toml` says what each step may cost.

mod budget;
mod callgrind;
mod count;
mod report;
mod rules;
mod step;

use anyhow::{Result, bail};

use crate::install::ensure_valgrind;
use budget::Budgets;
use count::count;

/// Counts, and shows the result.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let show = Show::parse(arguments)?;
    ensure_valgrind()?;
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    Table,
    Json,
    /// In the file of budgets.
    Budget,
}

impl Show {
    fn parse(arguments: &[String]) -> Result<Self> {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        Ok(match *arguments {
            [] => Self::Table,
            ["--json"] => Self::Json,
            ["--budget"] => Self::Budget,
            _ => bail!("`--instructions` takes `--json` or `--budget`, not {arguments:?}"),
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
            "{findings}to see where they go: cargo xtask bench --instructions"
        );
    }
}
