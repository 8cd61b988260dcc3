//! Budgets of each step: `instructions.toml`, which has a reason for each.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::count::{Cost, Counted, Machine};
use crate::package;
use crate::report::thousands;
use crate::step::Step;

/// The factor between a count and its budget. Changes elsewhere shift what the compiler inlines.
const ROOM: f64 = 1.05;

/// The least number of instructions between a count and its budget.
const LEAST_ROOM: f64 = 10.0;

/// A count under this part of its budget is reported, so that the budget is lowered.
const ROOMY: f64 = 0.85;

/// The least part of all instructions that the rules must assign to steps.
const NAMED: f64 = 0.9;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Budgets {
    taken_on: Machine,
    json: BTreeMap<String, Budget>,
    msgpack: BTreeMap<String, Budget>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    /// The most instructions per event.
    instructions: u32,
    reason: String,
}

/// Differences between counts and budgets.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) excesses: Vec<String>,
    pub(crate) hints: Vec<String>,
}

impl Budgets {
    pub(crate) fn read() -> Result<Self> {
        Self::parse(&fs::read_to_string(file())?)
    }

    fn parse(text: &str) -> Result<Self> {
        let budgets: Self = toml::from_str(text).context("cannot read the budgets")?;
        for (name, budget) in budgets.json.iter().chain(&budgets.msgpack) {
            ensure!(!budget.reason.is_empty(), "the budget {name} has no reason");
        }
        Ok(budgets)
    }

    /// Writes the counts into the file, and keeps its reasons and comments.
    pub(crate) fn renew(counted: &Counted) -> Result<()> {
        let before = fs::read_to_string(file())?;
        let after = renewed(&before, counted, &Machine::here()?);
        Self::parse(&after)?.compare(counted)?;
        fs::write(file(), after)?;
        println!("updated {}", file().display());
        Ok(())
    }

    /// Compares counts with budgets, unless they are for another compiler or architecture.
    pub(crate) fn judge(&self, counted: &Counted) -> Result<Findings> {
        let here = Machine::here()?;
        let mut findings = if here == self.taken_on {
            self.compare(counted)?
        } else {
            let there = &self.taken_on;
            let hint = format!("skipped: the budgets are for {there}, this is {here}");
            Findings {
                hints: vec![hint],
                ..Findings::default()
            }
        };
        for (format, cost) in counted {
            let named = cost.named_part();
            if named < NAMED {
                findings.excesses.push(format!(
                    "{format}: only {:.0} % of the instructions belong to a step: \
                     crates/tidings-steps/src/rules.rs needs another rule",
                    100.0 * named
                ));
            }
        }
        Ok(findings)
    }

    fn compare(&self, counted: &Counted) -> Result<Findings> {
        let mut findings = Findings::default();
        for (format, cost) in counted {
            let budgets = match *format {
                "json" => &self.json,
                _ => &self.msgpack,
            };
            let figures = figures(cost);
            ensure!(
                budgets.keys().eq(figures.keys()),
                "budgets of {format}: the file has {:?}, counted were {:?}",
                budgets.keys(),
                figures.keys()
            );
            for (name, budget) in budgets {
                findings.add(&format!("{format}.{name}"), budget, figures[&**name]);
            }
        }
        Ok(findings)
    }
}

fn file() -> PathBuf {
    package().join("instructions.toml")
}

/// Returns the counts that have a budget. Steps that the compiler inlines into each other share one.
fn figures(cost: &Cost) -> BTreeMap<&'static str, f64> {
    use Step::{Call, Decode, Encode, Frame, Memory, Program, Queue, Route, Runtime};
    use Step::{Send, Sequence, Split};

    let dispatch = [Sequence, Route, Queue, Call];
    BTreeMap::from([
        ("encode", cost.event.get(Encode)),
        ("frame", cost.event.get(Frame)),
        ("split", cost.event.get(Split)),
        ("dispatch", cost.event.sum(&dispatch)),
        ("decode", cost.event.get(Decode)),
        ("send", cost.event.get(Send)),
        ("memory", cost.event.get(Memory)),
        ("runtime", cost.event.get(Runtime)),
        ("total", cost.event.total() - cost.event.get(Program)),
        (
            "unwanted",
            cost.unwanted.total() - cost.unwanted.get(Program),
        ),
        ("handler", cost.handler.total()),
    ])
}

impl Findings {
    fn add(&mut self, name: &str, budget: &Budget, counted: f64) {
        let allowed = f64::from(budget.instructions);
        if counted > allowed {
            self.excesses.push(format!(
                "{name} takes {counted:.0} instructions per event, {:.0} more than its budget of \
                 {allowed}: {}",
                counted - allowed,
                budget.reason
            ));
        } else if counted + LEAST_ROOM < ROOMY * allowed {
            self.hints.push(format!(
                "{name} takes {counted:.0} instructions per event, much less than its budget of \
                 {allowed}: `cargo xtask bench --instructions --budget` updates it"
            ));
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.hints.iter().chain(&self.excesses);
        lines.try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Returns the text of the file with new numbers.
fn renewed(text: &str, counted: &Counted, machine: &Machine) -> String {
    let allowed: BTreeMap<_, _> = counted
        .iter()
        .flat_map(|(format, cost)| {
            let figures = figures(cost).into_iter();
            figures.map(move |(name, count)| (format!("[{format}.{name}]"), allowed(count)))
        })
        .collect();
    let mut table = "";
    let lines = text.lines().map(|line| {
        if line.starts_with('[') {
            table = line.trim_end();
        }
        match (line.split(' ').next(), allowed.get(table)) {
            (Some("instructions"), Some(allowed)) => {
                format!("instructions = {allowed}\n")
            }
            (Some("rustc"), _) => format!("rustc = \"{}\"\n", machine.rustc),
            (Some("architecture"), _) => format!("architecture = \"{}\"\n", machine.architecture),
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}

/// Returns the budget for a count: a round number, as the file writes it.
fn allowed(counted: f64) -> String {
    let roomy = (counted * ROOM).max(counted + LEAST_ROOM);
    thousands((roomy / 10.0).ceil() * 10.0, '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Steps;

    const NAMES: [&str; 11] = [
        "encode", "frame", "split", "dispatch", "decode", "send", "memory", "runtime", "total",
        "unwanted", "handler",
    ];

    fn text(instructions: u32) -> String {
        let table = |format: &str, name: &str| {
            format!("[{format}.{name}]\ninstructions = {instructions}\nreason = \"it is so\"\n")
        };
        let json = NAMES.map(|name| table("json", name)).concat();
        let msgpack = NAMES.map(|name| table("msgpack", name)).concat();
        format!("# Head.\n[taken-on]\nrustc = \"1.0\"\narchitecture = \"pdp11\"\n{json}{msgpack}")
    }

    /// Returns counts in which only encoding takes instructions.
    fn counted(encode: f64) -> Counted {
        let event = Steps {
            counts: [(Step::Encode, encode)].into(),
            ..Steps::default()
        };
        let cost = Cost {
            event,
            ..Cost::default()
        };
        [("json", cost), ("msgpack", Cost::default())].into()
    }

    fn compare(allowed: u32, encode: f64) -> Findings {
        let budgets = Budgets::parse(&text(allowed)).unwrap();
        budgets.compare(&counted(encode)).unwrap()
    }

    #[test]
    fn an_exceeded_budget_is_named_with_its_reason() {
        let findings = compare(1_000, 1_250.4);

        assert_eq!(
            findings.excesses,
            [
                "json.encode takes 1250 instructions per event, 250 more than its budget of 1000: \
                 it is so",
                "json.total takes 1250 instructions per event, 250 more than its budget of 1000: \
                 it is so",
            ]
        );
    }

    #[test]
    fn a_count_within_its_budget_is_not_mentioned() {
        let findings = compare(1_000, 1_000.0);

        assert!(findings.excesses.is_empty());
        assert!(
            !findings
                .hints
                .iter()
                .any(|hint| hint.contains("json.encode"))
        );
    }

    #[test]
    fn a_budget_that_is_too_large_is_a_hint() {
        let findings = compare(1_000, 830.0);

        assert!(findings.excesses.is_empty());
        assert!(findings.hints[0].starts_with("json.decode takes 0 instructions"));
        assert!(
            findings
                .hints
                .iter()
                .any(|hint| hint.contains("json.encode"))
        );
    }

    #[test]
    fn a_budget_without_a_step_or_a_reason_is_refused() {
        let renamed = text(10).replace("[json.encode]", "[json.enconde]");
        let budgets = Budgets::parse(&renamed).unwrap();
        assert!(budgets.compare(&counted(1.0)).is_err());

        assert!(Budgets::parse(&text(10).replace("it is so", "")).is_err());
    }

    #[test]
    fn new_numbers_leave_the_reasons() {
        let machine = Machine {
            rustc: "1.95".to_owned(),
            architecture: "x86_64".to_owned(),
        };

        let renewed = renewed(&text(7), &counted(2_000.0), &machine);

        let expected = text(20)
            .replace("1.0", "1.95")
            .replace("pdp11", "x86_64")
            .replacen(
                "encode]\ninstructions = 20",
                "encode]\ninstructions = 2_100",
                1,
            )
            .replacen(
                "total]\ninstructions = 20",
                "total]\ninstructions = 2_100",
                1,
            )
            .replace("= 20\n", "= 10\n");
        assert_eq!(renewed, expected);
    }

    #[test]
    fn a_budget_has_five_percent_of_room_and_is_round() {
        assert_eq!(allowed(1_000.0), "1_050");
        assert_eq!(allowed(1_001.0), "1_060");
        assert_eq!(allowed(31.2), "50");
        assert_eq!(allowed(0.0), "10");
    }
}
