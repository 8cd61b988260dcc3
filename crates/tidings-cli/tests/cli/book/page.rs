//! The `console` blocks of the page.

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use super::blot::is_same;

/// The lines of the page.
pub(super) struct Page(Vec<String>);

/// The commands below one heading, in their order.
pub(super) struct Session {
    pub(super) heading: String,
    pub(super) commands: Vec<Shown>,
}

/// A command with the output that the page shows.
pub(super) struct Shown {
    pub(super) command: String,
    pub(super) output: Vec<String>,
    /// The lines of the output in the page.
    lines: Range<usize>,
}

/// An output that is not the one of the page.
pub(super) struct Difference {
    shown: Shown,
    printed: Vec<String>,
}

impl Page {
    pub(super) fn read() -> Self {
        let text = fs::read_to_string(path()).unwrap();
        Self(text.lines().map(str::to_owned).collect())
    }

    pub(super) fn sessions(&self) -> Vec<Session> {
        let mut sessions: Vec<Session> = Vec::new();
        let mut heading = "";
        let mut block = "";
        for (number, line) in self.0.iter().enumerate() {
            match (block, line.strip_prefix("```")) {
                ("", Some(language)) => block = language,
                (_, Some(_)) => block = "",
                ("", None) if line.starts_with('#') => {
                    heading = line.trim_start_matches('#').trim();
                }
                ("console", None) => {
                    if sessions.last().is_none_or(|last| last.heading != heading) {
                        let (heading, commands) = (heading.to_owned(), Vec::new());
                        sessions.push(Session { heading, commands });
                    }
                    let last = sessions.last_mut().unwrap();
                    last.add(number, line);
                }
                _ => {}
            }
        }
        sessions
    }

    /// Replaces the lines that differ. The last output first, so that line numbers stay valid.
    pub(super) fn update(&mut self, differences: &[Difference]) {
        let mut differences: Vec<_> = differences.iter().collect();
        differences.sort_by_key(|it| it.shown.lines.start);
        for difference in differences.into_iter().rev() {
            let lines = difference.shown.lines.clone();
            self.0.splice(lines, difference.updated());
        }
        fs::write(path(), self.0.join("\n") + "\n").unwrap();
    }
}

impl Session {
    fn add(&mut self, number: usize, line: &str) {
        if let Some(command) = line.strip_prefix("$ ") {
            self.commands.push(Shown {
                command: command.to_owned(),
                output: Vec::new(),
                lines: number + 1..number + 1,
            });
            return;
        }
        let command = self.commands.last_mut();
        let command = command.unwrap_or_else(|| panic!("`{line}` belongs to no command"));
        command.output.push(line.to_owned());
        command.lines.end = number + 1;
    }
}

impl Shown {
    /// Returns the difference to what was printed, if there is one.
    pub(super) fn compare(self, printed: Vec<String>) -> Option<Difference> {
        let shown = self.output.iter();
        let is_equal = self.output.len() == printed.len()
            && shown
                .zip(&printed)
                .all(|(shown, printed)| is_same(shown, printed));
        (!is_equal).then_some(Difference {
            shown: self,
            printed,
        })
    }
}

impl Difference {
    /// Returns the lines for the page, which keeps its own where they say the same.
    fn updated(&self) -> Vec<String> {
        let printed = self.printed.iter().enumerate();
        let updated = printed.map(|(number, printed)| {
            let shown = self.shown.output.get(number);
            shown
                .filter(|shown| is_same(shown, printed))
                .unwrap_or(printed)
        });
        updated.cloned().collect()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, printed) = (&self.shown.output, &self.printed);
        writeln!(f, "  $ {}", self.shown.command)?;
        for number in 0..shown.len().max(printed.len()) {
            match (shown.get(number), printed.get(number)) {
                (Some(shown), Some(printed)) if is_same(shown, printed) => {
                    writeln!(f, "  {shown}")?;
                }
                (shown, printed) => {
                    shown.iter().try_for_each(|line| writeln!(f, "- {line}"))?;
                    printed
                        .iter()
                        .try_for_each(|line| writeln!(f, "+ {line}"))?;
                }
            }
        }
        Ok(())
    }
}

fn path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../docs/src/cli.md"]
        .iter()
        .collect()
}
