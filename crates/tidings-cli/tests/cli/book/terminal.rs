//! A terminal of a reader: runs a command at a time, and shows what it printed.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::blot::is_same;
use crate::support::Running;

/// Any lines.
const OMITTED: &str = "…";

#[derive(Default)]
pub(super) struct Terminal {
    /// The commands that ran here. Only the last one can run now.
    commands: Vec<Running>,
    /// The number of lines that were compared already.
    seen: usize,
}

impl Terminal {
    /// Starts a command, after the end of the one before.
    pub(super) fn run(&mut self, command: &mut Command, deadline: Duration) {
        self.finish(deadline);
        self.commands.push(Running::start(command));
    }

    /// Waits for the end of the command.
    pub(super) fn finish(&mut self, deadline: Duration) {
        let Some(last) = self.commands.last_mut() else {
            return;
        };
        let end = Instant::now() + deadline;
        while !last.has_ended() {
            let lines = last.stdout.all();
            assert!(Instant::now() < end, "a command runs on: {lines:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Forgets the last command, to run it again.
    pub(super) fn forget(&mut self, deadline: Duration) {
        self.finish(deadline);
        self.commands.pop();
    }

    pub(super) fn signal(&self, signal: Signal) {
        let last = self.commands.last().expect("a command runs");
        last.signal(signal);
    }

    /// Returns whether these are the next lines, and takes them.
    pub(super) fn shows(&mut self, expected: &[&str], as_shown: impl Fn(&str) -> String) -> bool {
        let next: Vec<_> = self.unseen().iter().map(|line| as_shown(line)).collect();
        let taken = taken(expected, &next);
        self.seen += taken.unwrap_or_default();
        taken.is_some()
    }

    /// The lines that were not compared yet.
    pub(super) fn unseen(&self) -> Vec<String> {
        let lines = self.commands.iter().flat_map(|it| it.stdout.all());
        lines.skip(self.seen).collect()
    }
}

/// Returns how many lines the expected ones are, if they begin so.
fn taken(expected: &[&str], printed: &[String]) -> Option<usize> {
    let Some((first, rest)) = expected.split_first() else {
        return Some(0);
    };
    if *first == OMITTED {
        let places = 0..=printed.len();
        let mut found = places.filter_map(|at| taken(rest, &printed[at..]).map(|count| at + count));
        return found.next();
    }
    let is_next = is_same(first, printed.first()?);
    is_next
        .then(|| taken(rest, &printed[1..]))
        .flatten()
        .map(|count| count + 1)
}

#[test]
fn the_next_lines_are_compared_and_others_only_where_the_page_omits_some() {
    let printed = ["a", "b", "c"].map(str::to_owned);
    assert_eq!(taken(&["a", "b"], &printed), Some(2));
    assert_eq!(taken(&["…", "b", "…"], &printed), Some(2));
    assert_eq!(taken(&["b"], &printed), None);
    assert_eq!(taken(&["a", "c"], &printed), None);
    assert_eq!(taken(&["…", "d"], &printed), None);
}
