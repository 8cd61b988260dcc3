//! One fault of a journal at a time: what the journal gives back, what is reported, and how long it
//! takes.

use std::time::Duration;

use anyhow::Result;
use tidings_faults::journal::faults::{JournalFault, JournalStep};
use tidings_faults::journal::round::{Round, RoundEnd};
use tidings_faults::journal::servers::Topology;
use tidings_faults::script::Disruption;
use tidings_testkit::Fault;

use crate::role::Role;
use crate::row::{Effort, Outcome};

/// The events a second, of three senders.
const RATE: u64 = 600;

/// The time for which a connection is lost, or a handler does not return.
const OUTAGE: Duration = Duration::from_secs(2);

/// A retention, and an outage that is longer.
const SHORT: Duration = Duration::from_secs(1);
const TOO_LONG: Duration = Duration::from_secs(4);

/// The lease of a durable name, which a killed process leaves.
const LEASE: Duration = Duration::from_secs(15);

/// The time for which replicas are cut off, or two masters take writes.
const APART: Duration = Duration::from_millis(300);

/// The bytes that are cut off the append-only file.
const BYTES: usize = 900;

/// A fault of a journal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct JournalRow {
    what: What,
    topology: Topology,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    LostConnection,
    SlowHandler,
    DurableKilled,
    RetentionPassed,
    Truncated,
    Flushed,
    Planned,
    Killed,
    Lossy,
    Split,
}

const fn on(topology: Topology, what: What) -> JournalRow {
    JournalRow { what, topology }
}

impl JournalRow {
    pub(super) const ALL: [Self; 13] = [
        on(Topology::Standalone, What::LostConnection),
        on(Topology::Standalone, What::SlowHandler),
        on(Topology::Standalone, What::DurableKilled),
        on(Topology::Standalone, What::RetentionPassed),
        on(Topology::Standalone, What::Truncated),
        on(Topology::Standalone, What::Flushed),
        on(Topology::Sentinel, What::Planned),
        on(Topology::Sentinel, What::Killed),
        on(Topology::Sentinel, What::Lossy),
        on(Topology::Sentinel, What::Split),
        on(Topology::Cluster, What::Planned),
        on(Topology::Cluster, What::Lossy),
        on(Topology::Cluster, What::Split),
    ];

    pub(super) fn name(self) -> String {
        let what = match self.what {
            What::LostConnection => "connection lost for 2s",
            What::SlowHandler => "handler blocked for 2s",
            What::DurableKilled => "durable subscriber killed and restarted",
            What::RetentionPassed => "connection lost for longer than the retention",
            What::Truncated => "append-only file truncated",
            What::Flushed => "FLUSHALL",
            What::Planned => "planned failover",
            What::Killed => "master killed",
            What::Lossy => "lossy failover",
            What::Split => "two masters",
        };
        match self.topology {
            Topology::Standalone => format!("journal: {what}"),
            Topology::Sentinel => format!("journal, Sentinel: {what}"),
            Topology::Cluster => format!("journal, Cluster: {what}"),
        }
    }

    pub(super) fn topology(self) -> Topology {
        self.topology
    }

    /// The limit of the longest pause.
    pub(super) fn limit(self) -> Duration {
        let fault = match self.what {
            What::LostConnection | What::SlowHandler => OUTAGE,
            What::RetentionPassed => TOO_LONG,
            What::DurableKilled => LEASE,
            _ => Duration::ZERO,
        };
        let recovery = match (self.what, self.topology) {
            (What::Planned, Topology::Sentinel) => Duration::from_secs(2),
            (What::Killed | What::Lossy | What::Split, _) => Duration::from_secs(6),
            (What::DurableKilled, _) => Duration::from_secs(3),
            _ => Duration::from_secs(1),
        };
        fault + recovery
    }

    pub(super) fn times(self) -> usize {
        match self.topology {
            _ if self.what == What::DurableKilled => 2,
            Topology::Standalone => 5,
            Topology::Sentinel => 3,
            Topology::Cluster => 2,
        }
    }

    fn step(self) -> JournalStep {
        let disconnected = JournalFault::Usual(Disruption::Proxy(Fault::Reset));
        let (what, at, lasts) = match self.what {
            What::LostConnection => (disconnected, 0, OUTAGE),
            What::RetentionPassed => (disconnected, 0, TOO_LONG),
            What::SlowHandler => (JournalFault::SlowHandler, 0, OUTAGE),
            What::DurableKilled => (JournalFault::DurableKilled, 0, APART),
            What::Truncated => (JournalFault::Truncated, BYTES, APART),
            What::Flushed => (JournalFault::Flushed, 0, APART),
            What::Planned => (JournalFault::Planned, 0, APART),
            What::Killed => (JournalFault::Killed, 0, APART),
            What::Lossy => (JournalFault::Lossy, 0, APART),
            What::Split => (JournalFault::Split, 0, APART),
        };
        JournalStep {
            what,
            at,
            lasts,
            rest: Duration::from_secs(1),
        }
    }
}

pub(super) async fn run(row: JournalRow, times: usize, effort: Effort) -> Result<Outcome> {
    let mut trials = Vec::new();
    for seed in (effort.seed..).take(times) {
        let round = Round {
            topology: row.topology,
            steps: vec![row.step()],
            rate: RATE,
            events_per_fault: 0,
            process: (row.what == What::DurableKilled).then(|| Role::Reader.arguments()),
            retention: (row.what == What::RetentionPassed).then_some(SHORT),
            seed,
        };
        trials.push(round.go_through().await.map(outcome_of));
    }
    Ok(Outcome::of_all(trials))
}

fn outcome_of(end: RoundEnd) -> Outcome {
    let counts = end.audit.counts;
    let findings = end.audit.findings.iter().map(ToString::to_string);
    let sent: u64 = end.struck.iter().map(|struck| struck.sent).sum();
    Outcome {
        took: end.struck.iter().map(|struck| struck.pause).collect(),
        lost: counts.missed,
        notes: vec![format!(
            "{sent} sent during the fault; {} missed and reported, {} received and forgotten by \
             Redis and reported, {} gaps, all settled after {:.1?}",
            counts.missed, counts.received_and_forgotten, counts.gaps, end.settled_within
        )],
        findings: findings.chain(end.complaints).collect(),
    }
}
