//! Failures and gaps on stderr, for a program that has neither a hook nor a `tracing` subscriber:
//! without this, it would lose events and print nothing.

use std::collections::HashSet;
use std::fmt::Display;
use std::io::{self, Write as _};

use crate::error::failure::Failure;
use crate::task::mutex::Mutex;

/// The number of kinds that are remembered, each printed once. It bounds the memory, because foreign
/// programs can choose event names.
const KINDS: usize = 64;

static PRINTED: Mutex<Option<Printed>> = Mutex::new(None);

/// The kinds that were printed.
#[derive(Debug, Default)]
struct Printed(HashSet<(&'static str, Box<str>)>);

/// Prints the first failure of a kind, if no `tracing` subscriber receives logs.
pub(crate) fn failure(failure: &Failure, text: impl Display) {
    print((failure.kind(), event(failure)), text, "`.on_failure(…)`");
}

/// Prints the first gap, if no `tracing` subscriber receives logs.
pub(crate) fn gap(text: impl Display) {
    print(("gap", ""), text, "`.on_gap(…)`");
}

fn print((kind, event): (&'static str, &str), text: impl Display, hook: &str) {
    if tracing::dispatcher::has_been_set() {
        return;
    }
    let mut printed = PRINTED.lock();
    let is_first = printed.get_or_insert_default().is_first(kind, event);
    drop(printed);
    if is_first {
        // A closed stderr leaves no place to report to.
        let _ = writeln!(
            io::stderr(),
            "tidings: {text} (others of this kind are not printed: set {hook} or a `tracing` \
             subscriber to receive all of them)"
        );
    }
}

impl Printed {
    fn is_first(&mut self, kind: &'static str, event: &str) -> bool {
        self.0.len() < KINDS && self.0.insert((kind, event.into()))
    }
}

/// The event, handler or value that a failure of this kind is about.
fn event(failure: &Failure) -> &str {
    match failure {
        Failure::Payload { event, .. }
        | Failure::Handler { event, .. }
        | Failure::Send { event, .. } => event,
        Failure::Shared { shared, .. }
        | Failure::ValueLost { shared, .. }
        | Failure::Invalidation { shared, .. }
        | Failure::DropPanicked { shared, .. } => shared,
        Failure::Frame { .. }
        | Failure::ForeignEntry { .. }
        | Failure::Event { .. }
        | Failure::Forged { .. }
        | Failure::JournalMismatch { .. }
        | Failure::Suppressed { .. } => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_each_event_is_printed_once() {
        let mut printed = Printed::default();
        let first = [
            ("payload", "tick"),
            ("payload", "tick"),
            ("payload", "tock"),
            ("handler", "tick"),
        ]
        .map(|(kind, event)| printed.is_first(kind, event));
        assert_eq!(first, [true, false, true, true]);
    }

    #[test]
    fn a_program_that_invents_names_fills_no_terminal() {
        let mut printed = Printed::default();
        let first = (0..1_000).filter(|n: &u32| printed.is_first("payload", &n.to_string()));
        assert_eq!(first.count(), KINDS);
    }
}
