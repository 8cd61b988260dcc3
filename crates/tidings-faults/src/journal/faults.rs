//! A random sequence of faults of the servers of a journal. The same seed makes the same sequence.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use tidings_testkit::{Direction, Fault};

use super::log::Happened;
use super::servers::Topology;
use crate::script::Disruption;

/// A fault, its duration, and the pause after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JournalStep {
    /// The fault.
    pub what: JournalFault,
    /// A random number, for the bus or the bytes that it concerns.
    pub at: usize,
    /// The duration.
    pub lasts: Duration,
    /// The pause after it.
    pub rest: Duration,
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum JournalFault {
    /// A fault that loses no data of Redis.
    Usual(Disruption),
    /// Redis closes connections in the middle of a page, because its output buffer is limited.
    SmallPages,
    /// A handler does not return for a while.
    SlowHandler,
    /// A bus is shut down and started again, under the same durable name.
    DurableRestarted,
    /// A process with a durable name is killed, and another one takes over. Not in random faults: it
    /// waits for the end of a lease.
    DurableKilled,
    /// Redis is killed, and starts again without the end of its append-only file.
    Truncated,
    /// `FLUSHALL`.
    Flushed,
    /// All keys are evicted.
    Evicted,
    /// A planned failover. The old master goes on as one for a while.
    Planned,
    /// The master is killed.
    Killed,
    /// Replicas are cut off from the master, and then it is killed or replaced.
    Lossy,
    /// Replicas are cut off from the master, one is promoted, and both take writes for a while.
    Split,
    /// The slot moves to another master.
    SlotMoved,
}

use JournalFault::{
    DurableKilled, DurableRestarted, Evicted, Flushed, Killed, Lossy, Planned, SlotMoved,
    SlowHandler, SmallPages, Split, Truncated, Usual,
};

impl JournalFault {
    /// The name in summaries.
    pub fn name(self) -> &'static str {
        match self {
            Usual(Disruption::Reset | Disruption::ResetAll) => "connections reset",
            Usual(Disruption::Proxy(Fault::CutAfter(..))) => "connection cut in the middle",
            Usual(Disruption::Proxy(_)) => "network stalled or slow",
            Usual(Disruption::DropBytes(_)) => "bytes lost",
            Usual(Disruption::KillSubscribers | Disruption::KillSenders) => "connections killed",
            Usual(Disruption::Pause | Disruption::Freeze) => "Redis paused or frozen",
            Usual(Disruption::Restart) => "Redis killed and restarted",
            Usual(_) => "other",
            SmallPages => "page cut by the output buffer limit",
            SlowHandler => "slow handler",
            DurableRestarted => "durable subscriber restarted",
            DurableKilled => "durable subscriber killed",
            Truncated => "append-only file truncated",
            Flushed => "FLUSHALL",
            Evicted => "evicted",
            Planned => "planned failover",
            Killed => "master killed",
            Lossy => "lossy failover",
            Split => "split",
            SlotMoved => "slot moved",
        }
    }

    /// Returns whether it is meant to make Redis forget events.
    pub fn is_lossy(self) -> bool {
        matches!(self, Truncated | Lossy | Split)
    }

    /// The excuses of this fault.
    pub fn excuses(self) -> Happened {
        Happened {
            // Also a master that is killed may not have written, or replicated, its last answers.
            forgot: matches!(
                self,
                Usual(Disruption::Restart | Disruption::Pause | Disruption::Freeze)
                    | Truncated
                    | Planned
                    | Killed
                    | Lossy
                    | Split
            ),
            lost_journal: matches!(self, Flushed | Evicted),
            trimmed: false,
        }
    }

    /// The faults of a topology, each as often as it is to be chosen.
    fn of(topology: Topology) -> Vec<(Self, u32)> {
        let mut faults = vec![
            (Usual(Disruption::KillSenders), 5),
            (Usual(Disruption::KillSubscribers), 1),
            (Usual(Disruption::Pause), 3),
            (Usual(Disruption::Freeze), 3),
            (SmallPages, 3),
            (SlowHandler, 4),
            (DurableRestarted, 3),
            (Flushed, 1),
        ];
        let more: &[(Self, u32)] = match topology {
            Topology::Standalone => &[
                (Usual(Disruption::Reset), 6),
                (Usual(Disruption::ResetAll), 2),
                (Usual(Disruption::Proxy(Fault::None)), 10),
                (Usual(Disruption::DropBytes(Direction::Both)), 2),
                (Usual(Disruption::Restart), 4),
                (Truncated, 6),
                (Evicted, 1),
            ],
            Topology::Sentinel => &[(Planned, 1), (Killed, 1), (Lossy, 2), (Split, 2)],
            Topology::Cluster => &[
                (Planned, 1),
                (Killed, 1),
                (Lossy, 2),
                (Split, 1),
                (SlotMoved, 2),
            ],
        };
        faults.extend(more);
        faults
    }
}

/// Returns this many faults. Each fault of the topology is among them, if there is room.
pub fn script(topology: Topology, seed: u64, faults: usize) -> Vec<JournalStep> {
    let mut random = StdRng::seed_from_u64(seed);
    let all = JournalFault::of(topology);
    // The rare ones come first, so that they are in a short script too.
    let mut chosen: Vec<_> = all.iter().rev().map(|(fault, _)| *fault).collect();
    chosen.truncate(faults);
    while chosen.len() < faults {
        let weighted = all.choose_weighted(&mut random, |(_, weight)| *weight);
        chosen.extend(weighted.map(|(fault, _)| *fault));
    }
    chosen.shuffle(&mut random);
    let steps = chosen.into_iter();
    steps.map(|what| step(what, &mut random)).collect()
}

fn step(what: JournalFault, random: &mut StdRng) -> JournalStep {
    let lasts = match what {
        Usual(Disruption::Proxy(_)) => 100..=900,
        // Longer than the heartbeat, now and then.
        Usual(Disruption::DropBytes(_)) => 200..=2_500,
        // Shorter than the time after which a server is down for the others.
        Usual(Disruption::Pause | Disruption::Freeze) => 50..=300,
        SlowHandler => 200..=900,
        Lossy | Split => 50..=500,
        Planned => 50..=1_500,
        _ => 50..=400,
    };
    JournalStep {
        what: detailed(what, random),
        at: random.random_range(0..1_000),
        lasts: Duration::from_millis(random.random_range(lasts)),
        rest: Duration::from_millis(random.random_range(0..=150)),
    }
}

/// Chooses the fault of a proxy.
fn detailed(what: JournalFault, random: &mut StdRng) -> JournalFault {
    let direction = match random.random_range(0..3) {
        0 => Direction::Both,
        1 => Direction::ToServer,
        _ => Direction::ToClient,
    };
    match what {
        Usual(Disruption::DropBytes(_)) => Usual(Disruption::DropBytes(direction)),
        Usual(Disruption::Proxy(_)) => Usual(Disruption::Proxy(match random.random_range(0..10) {
            0..=2 => Fault::Blackhole(direction),
            3 => Fault::Latency(Duration::from_millis(random.random_range(1..=100))),
            4 => Fault::Slice(random.random_range(1..=64)),
            5 => Fault::SilentClose,
            _ => Fault::CutAfter(random.random_range(1..=40_000), direction),
        })),
        what => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_makes_the_same_script() {
        let of = |seed| script(Topology::Standalone, seed, 100);
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn a_short_script_has_every_fault_of_its_topology() {
        for topology in [Topology::Standalone, Topology::Sentinel, Topology::Cluster] {
            let script = script(topology, 7, 20);
            for (fault, _) in JournalFault::of(topology) {
                let is_there = script
                    .iter()
                    .any(|step| step.what.name() == fault.name() || step.what == fault);
                let is_of_proxy = matches!(fault, Usual(Disruption::Proxy(_)));
                assert!(is_there || is_of_proxy, "{topology:?}: {}", fault.name());
            }
        }
    }
}
