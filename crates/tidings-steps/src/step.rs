//! The steps of an event, and the instructions of each.

use std::collections::{BTreeMap, HashMap};

use crate::callgrind::{Function, Profile};
use crate::rules::{Owner, owner};

/// The steps of an event, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    Program,
    Send,
    Encode,
    Frame,
    Split,
    Sequence,
    Route,
    Queue,
    Decode,
    Call,
    Memory,
    Runtime,
    Other,
}

impl Step {
    pub(crate) const ALL: [Self; 13] = [
        Self::Program,
        Self::Send,
        Self::Encode,
        Self::Frame,
        Self::Split,
        Self::Sequence,
        Self::Route,
        Self::Queue,
        Self::Decode,
        Self::Call,
        Self::Memory,
        Self::Runtime,
        Self::Other,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Send => "send",
            Self::Encode => "encode",
            Self::Frame => "frame",
            Self::Split => "split",
            Self::Sequence => "sequence",
            Self::Route => "route",
            Self::Queue => "queue",
            Self::Decode => "decode",
            Self::Call => "call",
            Self::Memory => "memory",
            Self::Runtime => "runtime",
            Self::Other => "other",
        }
    }

    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Program => "the loop that sends, the closure that handles",
            Self::Send => "`feed`, the outgoing queue, the send task",
            Self::Encode => "serde writes the payload",
            Self::Frame => "name, time and length around it; limits are checked",
            Self::Split => "the frame is read, its events are found",
            Self::Sequence => "new, duplicate or missed",
            Self::Route => "which handlers receive this name",
            Self::Queue => "from the receiver to the handlers' queues, and out of them",
            Self::Decode => "serde reads the payload",
            Self::Call => "the handler is called, checked for panics and awaited",
            Self::Memory => "the C library: allocate, free, copy, compare",
            Self::Runtime => "tokio, futures, and `memory:` instead of Redis",
            Self::Other => "files without a rule",
        }
    }
}

/// Instructions by step.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Steps {
    pub(crate) counts: BTreeMap<Step, f64>,
    /// Code without a rule, and its instructions.
    pub(crate) unknown: Vec<(String, f64)>,
}

impl Steps {
    pub(crate) fn of(profile: &Profile) -> Self {
        let mut sharing = Sharing::new(profile);
        let mut steps = Self::default();
        for (place, cost) in &profile.own {
            let parts = match owner(place) {
                Owner::Step(step) => vec![(step, 1.0)],
                Owner::Shared => sharing.parts(&place.function),
            };
            for (step, part) in parts {
                *steps.counts.entry(step).or_default() += cost * part;
                if step == Step::Other && cost * part > 0.0 {
                    let unknown = format!("{} in {}", place.file, place.function.name);
                    steps.unknown.push((unknown, cost * part));
                }
            }
        }
        steps
            .unknown
            .sort_by(|(_, one), (_, other)| other.total_cmp(one));
        steps
    }

    pub(crate) fn get(&self, step: Step) -> f64 {
        self.counts.get(&step).copied().unwrap_or(0.0)
    }

    pub(crate) fn sum(&self, steps: &[Step]) -> f64 {
        steps.iter().map(|step| self.get(*step)).sum()
    }

    pub(crate) fn total(&self) -> f64 {
        self.counts.values().sum()
    }

    /// Returns the cost of one repetition: `self` has `times` more repetitions than `fewer`.
    pub(crate) fn more_than(&self, fewer: &Self, times: u32) -> Self {
        let more = |step| (step, (self.get(step) - fewer.get(step)) / f64::from(times));
        Self {
            counts: Step::ALL.map(more).into(),
            unknown: Vec::new(),
        }
    }
}

/// Assigns shared functions to the steps that call them.
struct Sharing<'a> {
    profile: &'a Profile,
    /// The instructions of a function that belong to a step by their file.
    owned: HashMap<&'a Function, BTreeMap<Step, f64>>,
    known: HashMap<Function, Parts>,
}

/// Steps and their parts, which add up to one.
type Parts = Vec<(Step, f64)>;

impl<'a> Sharing<'a> {
    fn new(profile: &'a Profile) -> Self {
        let mut owned: HashMap<_, BTreeMap<_, _>> = HashMap::new();
        for (place, cost) in &profile.own {
            if let Owner::Step(step) = owner(place) {
                let costs = owned.entry(&place.function).or_default();
                *costs.entry(step).or_default() += cost;
            }
        }
        Self {
            profile,
            owned,
            known: HashMap::new(),
        }
    }

    fn parts(&mut self, function: &Function) -> Parts {
        if let Some(parts) = self.known.get(function) {
            return parts.clone();
        }
        // A recursive function does not count as its own caller.
        self.known.insert(function.clone(), Vec::new());
        let around = self.owned.get(function).and_then(parts_of);
        let parts = around
            .or_else(|| self.parts_of_callers(function))
            .unwrap_or_else(|| vec![(Step::Other, 1.0)]);
        self.known.insert(function.clone(), parts.clone());
        parts
    }

    fn parts_of_callers(&mut self, function: &Function) -> Option<Parts> {
        let mut costs = BTreeMap::new();
        for (place, cost) in self.profile.calls.get(function)? {
            let parts = match owner(place) {
                Owner::Step(step) => vec![(step, 1.0)],
                Owner::Shared => self.parts(&place.function),
            };
            for (step, part) in parts {
                *costs.entry(step).or_default() += cost * part;
            }
        }
        parts_of(&costs)
    }
}

/// Returns `None` if there are no instructions.
fn parts_of(costs: &BTreeMap<Step, f64>) -> Option<Parts> {
    let spent = || costs.iter().filter(|(_, cost)| **cost > 0.0);
    let total: f64 = spent().map(|(_, cost)| cost).sum();
    (total > 0.0).then(|| spent().map(|(step, cost)| (*step, cost / total)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callgrind::Place;

    const WORKER: &str = "crates/tidings/src/handler/runner.rs";
    const QUEUE: &str = "crates/tidings/src/receive/queue.rs";
    const STD: &str = "/rustc/5980/library/core/src/str/converts.rs";

    fn place(function: &str, file: &str) -> Place {
        let object = "/target/tidings-steps".into();
        let name = function.into();
        Place {
            function: Function { object, name },
            file: file.into(),
        }
    }

    #[test]
    fn inlined_std_counts_like_the_rest_of_its_function() {
        let own = [
            (place("poll", WORKER), 30.0),
            (place("poll", QUEUE), 10.0),
            (place("poll", STD), 20.0),
        ];
        let profile = Profile {
            own: own.into(),
            ..Profile::default()
        };

        let steps = Steps::of(&profile);

        assert_eq!(
            steps.counts,
            [(Step::Call, 45.0), (Step::Queue, 15.0)].into()
        );
    }

    #[test]
    fn a_function_of_std_counts_like_its_callers() {
        let own = [(place("from_utf8", STD), 40.0), (place("grow", STD), 4.0)];
        // `grow` is called by `from_utf8`, and by itself.
        let utf8 = [(place("poll", WORKER), 33.0), (place("take", QUEUE), 11.0)];
        let grow = [(place("from_utf8", STD), 4.0), (place("grow", STD), 3.0)];
        let calls = [("from_utf8", utf8), ("grow", grow)];
        let calls = calls.map(|(name, callers)| (place(name, STD).function, callers.into()));
        let profile = Profile {
            own: own.into(),
            calls: calls.into(),
        };

        let steps = Steps::of(&profile);

        assert_eq!(
            steps.counts,
            [(Step::Call, 33.0), (Step::Queue, 11.0)].into()
        );
    }

    #[test]
    fn code_without_a_rule_is_listed() {
        let own = [
            (place("poll", "a.rs"), 1.0),
            (place("poll", "b.rs"), 2.0),
            (place("lonely", STD), 3.0),
        ];
        let profile = Profile {
            own: own.into(),
            ..Profile::default()
        };

        let steps = Steps::of(&profile);

        assert_eq!(steps.counts, [(Step::Other, 6.0)].into());
        let lonely = format!("{STD} in lonely");
        let unknown = [
            (&*lonely, 3.0),
            ("b.rs in poll", 2.0),
            ("a.rs in poll", 1.0),
        ];
        assert_eq!(
            steps.unknown,
            unknown.map(|(name, cost)| (name.to_owned(), cost))
        );
    }
}
