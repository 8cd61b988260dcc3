//! Runs steps one after the other, and prints a summary that names each failed one.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, stdout};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::tool::Tool;

#[derive(Debug, Clone)]
pub(crate) struct Step {
    name: &'static str,
    work: Work,
}

#[derive(Debug, Clone)]
enum Work {
    Run(Tool),
    Test(Tool, &'static [&'static str]),
    Look(fn() -> Result<()>),
    Skip { advice: &'static str },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed(Duration),
    Failed(Duration),
    Skipped { advice: &'static str },
}

impl Step {
    pub(crate) fn new(name: &'static str, tool: Tool) -> Self {
        let work = Work::Run(tool);
        Self { name, work }
    }

    /// Creates a step that runs the tests with one of these words in their names. `tool` is `cargo test`
    /// with all arguments for the tests, and cargo passes a filter that matches no test; this step
    /// fails if a word matches none.
    pub(crate) fn tests(name: &'static str, tool: Tool, words: &'static [&'static str]) -> Self {
        let work = Work::Test(tool, words);
        Self { name, work }
    }

    /// Creates a step that inspects what other steps left.
    pub(crate) fn look(name: &'static str, look: fn() -> Result<()>) -> Self {
        let work = Work::Look(look);
        Self { name, work }
    }

    /// Creates a step that cannot run on this machine, with advice.
    pub(crate) fn skipped(name: &'static str, advice: &'static str) -> Self {
        let work = Work::Skip { advice };
        Self { name, work }
    }

    fn run(&self) -> Outcome {
        let start = Instant::now();
        let result = match &self.work {
            Work::Run(tool) => {
                println!("{}", bold(&format!("{}: {tool}", self.name)));
                tool.succeed()
            }
            Work::Test(tool, words) => {
                let run = tool.clone().args(words.iter().copied());
                println!("{}", bold(&format!("{}: {run}", self.name)));
                let listed = run.clone().args(["--list"]).output();
                let listed = listed.and_then(|listed| each_is_listed(words, &listed));
                listed.and_then(|()| run.succeed())
            }
            Work::Look(look) => {
                println!("{}", bold(self.name));
                look()
            }
            Work::Skip { advice } => return Outcome::Skipped { advice },
        };
        let time = start.elapsed();
        match result {
            Ok(()) => {
                println!("{} took {:.1} s\n", self.name, time.as_secs_f64());
                Outcome::Passed(time)
            }
            Err(error) => {
                println!("{error:#}\n");
                Outcome::Failed(time)
            }
        }
    }
}

/// Runs the steps whose name contains one of these words; all steps if there is none.
pub(crate) fn run_only(mut steps: Vec<Step>, only: &[String]) -> Result<()> {
    steps.retain(|step| only.is_empty() || only.iter().any(|name| step.name.contains(name)));
    ensure!(!steps.is_empty(), "no step has one of these names");
    run_all(&steps)
}

/// Runs all steps in order, also those after a failed one, so that one run reports everything.
pub(crate) fn run_all(steps: &[Step]) -> Result<()> {
    let outcomes = steps.iter().map(|step| (step.name, step.run()));
    let outcomes: Vec<_> = outcomes.collect();
    print!("{}", summary(&outcomes));
    let failed = outcomes.iter().filter_map(|(name, outcome)| match outcome {
        Outcome::Failed(_) => Some(*name),
        Outcome::Passed(_) | Outcome::Skipped { .. } => None,
    });
    let failed: Vec<_> = failed.collect();
    ensure!(
        failed.is_empty(),
        "failed: {}; see above",
        failed.join(", ")
    );
    Ok(())
}

/// Fails if a word is in no name of a test that cargo listed.
fn each_is_listed(words: &[&str], listed: &str) -> Result<()> {
    let tests = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    let tests: Vec<_> = tests.collect();
    let has_none = |word: &&&str| !tests.iter().any(|test| test.contains(**word));
    let unknown: Vec<_> = words.iter().filter(has_none).copied().collect();
    ensure!(
        unknown.is_empty(),
        "no test is called {}",
        unknown.join(", ")
    );
    Ok(())
}

fn summary(rows: &[(&'static str, Outcome)]) -> String {
    let mut table = String::new();
    let widths = rows.iter().map(|(name, _)| name.len());
    let width = widths.max().unwrap_or_default();
    for (name, outcome) in rows {
        let (word, time) = match outcome {
            Outcome::Passed(time) => ("passed", seconds(*time)),
            Outcome::Failed(time) => ("FAILED", seconds(*time)),
            Outcome::Skipped { advice } => ("skipped", format!("  {advice}")),
        };
        let _ = writeln!(table, "{name:<width$} {word:<7} {time}");
    }
    table
}

fn seconds(time: Duration) -> String {
    format!("{:>7.1} s", time.as_secs_f64())
}

fn bold(text: &str) -> String {
    if stdout().is_terminal() {
        format!("\x1b[1m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::tool;

    #[test]
    fn the_summary_has_a_line_for_every_step() {
        let advice = "to have it: install it";
        let rows = [
            ("format", Outcome::Passed(Duration::from_millis(1_200))),
            ("lints", Outcome::Failed(Duration::from_secs(65))),
            ("dependencies", Outcome::Skipped { advice }),
        ];

        assert_eq!(
            summary(&rows),
            "\
format       passed      1.2 s
lints        FAILED     65.0 s
dependencies skipped   to have it: install it
"
        );
    }

    #[test]
    fn a_word_that_no_test_has_is_an_error() {
        let listed = "book::shop: test\nbook::tutorial: test\n\n2 tests, 0 benchmarks\n";

        each_is_listed(&["book::", "shop"], listed).unwrap();
        let error = each_is_listed(&["shop", "store", "tests"], listed).unwrap_err();
        assert_eq!(error.to_string(), "no test is called store, tests");
    }

    #[test]
    fn every_failed_step_is_named_and_the_steps_after_it_still_run() {
        let folder = tempfile::tempdir().unwrap();
        let trace = folder.path().join("the-last-step-ran");
        let nothing = Step::new("nothing", tool("true"));
        let failing = Step::new("failing", tool("false"));
        let unknown = Step::new("unknown", tool("no-such-program"));
        let last = Step::new("last", tool("touch").args([trace.to_str().unwrap()]));

        let result = run_all(&[nothing, failing, unknown, last]);

        let error = result.unwrap_err().to_string();
        assert_eq!(error, "failed: failing, unknown; see above");
        assert!(trace.exists());
    }
}
