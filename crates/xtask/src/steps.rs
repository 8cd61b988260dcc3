//! Steps, one after the other, until the first that fails; then a summary.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, stdout};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::tool::Tool;

#[derive(Debug, Clone)]
pub(crate) struct Step {
    name: &'static str,
    work: Work,
}

#[derive(Debug, Clone)]
enum Work {
    Run(Tool),
    Look(fn() -> Result<()>),
    Skip { advice: &'static str },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed(Duration),
    Failed(Duration),
    Skipped { advice: &'static str },
    NotReached,
}

impl Step {
    pub(crate) fn new(name: &'static str, tool: Tool) -> Self {
        let work = Work::Run(tool);
        Self { name, work }
    }

    /// A step that looks at what the others left, and says what is wrong with it.
    pub(crate) fn look(name: &'static str, look: fn() -> Result<()>) -> Self {
        let work = Work::Look(look);
        Self { name, work }
    }

    /// A step that cannot run here, and what would change that.
    pub(crate) fn skipped(name: &'static str, advice: &'static str) -> Self {
        let work = Work::Skip { advice };
        Self { name, work }
    }

    fn run(&self) -> Result<Outcome> {
        let tool = match &self.work {
            Work::Run(tool) => tool,
            Work::Look(look) => return Ok(self.look_at(*look)),
            Work::Skip { advice } => return Ok(Outcome::Skipped { advice }),
        };
        println!("{}", bold(&format!("{}: {tool}", self.name)));

        let start = Instant::now();
        let status = tool.run()?;
        let time = start.elapsed();
        println!("{} took {:.1} s\n", self.name, time.as_secs_f64());
        Ok(if status.success() {
            Outcome::Passed(time)
        } else {
            Outcome::Failed(time)
        })
    }

    fn look_at(&self, look: fn() -> Result<()>) -> Outcome {
        println!("{}", bold(self.name));
        let start = Instant::now();
        let looked = look();
        let time = start.elapsed();
        match looked {
            Ok(()) => Outcome::Passed(time),
            Err(error) => {
                println!("{error:#}\n");
                Outcome::Failed(time)
            }
        }
    }
}

/// Runs the steps in order, and stops at the first that fails.
pub(crate) fn run_all(steps: &[Step]) -> Result<()> {
    let mut outcomes = vec![Outcome::NotReached; steps.len()];
    let mut failed = None;
    for (step, outcome) in steps.iter().zip(&mut outcomes) {
        *outcome = step.run()?;
        if let Outcome::Failed(_) = outcome {
            failed = Some(step.name);
            break;
        }
    }

    print!(
        "{}",
        summary(steps.iter().map(|step| step.name).zip(outcomes))
    );
    match failed {
        Some(name) => bail!("{name} failed: see above"),
        None => Ok(()),
    }
}

fn summary(rows: impl Iterator<Item = (&'static str, Outcome)>) -> String {
    let mut table = String::new();
    for (name, outcome) in rows {
        let (word, time) = match outcome {
            Outcome::Passed(time) => ("passed", seconds(time)),
            Outcome::Failed(time) => ("FAILED", seconds(time)),
            Outcome::Skipped { advice } => ("skipped", format!("  {advice}")),
            Outcome::NotReached => ("not reached", String::new()),
        };
        let row = format!("{name:<30} {word:<11} {time}");
        let _ = writeln!(table, "{}", row.trim_end());
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
            ("tests", Outcome::NotReached),
        ];

        assert_eq!(
            summary(rows.into_iter()),
            "\
format                         passed          1.2 s
lints                          FAILED         65.0 s
dependencies                   skipped       to have it: install it
tests                          not reached
"
        );
    }

    #[test]
    fn a_failed_step_is_named_and_the_rest_is_not_run() {
        let nothing = Step::new("nothing", tool("true"));
        let failing = Step::new("failing", tool("false"));
        let unknown = Step::new("unknown", tool("no-such-program"));

        let result = run_all(&[nothing, failing, unknown]);

        assert_eq!(result.unwrap_err().to_string(), "failing failed: see above");
    }
}
