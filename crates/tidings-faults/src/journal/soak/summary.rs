//! The summary of a soak.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::journal::check::{Counts, Violation};
use crate::journal::faults::JournalStep;
use crate::journal::round::RoundEnd;
use crate::journal::servers::Topology;

/// The findings that a summary shows.
const SHOWN: usize = 20;

/// The summary of a soak of one topology.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The servers.
    pub topology: Topology,
    /// The seeds of the rounds.
    pub seeds: Vec<u64>,
    /// The faults that were made, by name.
    pub faults: BTreeMap<&'static str, usize>,
    /// The sums over all rounds.
    pub counts: Counts,
    /// Events of the journals in the end.
    pub remaining: u64,
    /// Violations, by kind.
    pub violations: BTreeMap<String, u64>,
    /// The longest time after the last send until everything was received or reported.
    pub settled_within: Duration,
    /// The duration of the soak.
    pub took: Duration,
    /// The violations and errors, with the seed of their round.
    pub findings: Vec<String>,
}

impl Summary {
    pub(super) fn new(topology: Topology) -> Self {
        Self {
            topology,
            seeds: Vec::new(),
            faults: BTreeMap::new(),
            counts: Counts::default(),
            remaining: 0,
            violations: BTreeMap::new(),
            settled_within: Duration::ZERO,
            took: Duration::ZERO,
            findings: Vec::new(),
        }
    }

    /// The number of faults.
    pub fn faults_made(&self) -> usize {
        self.faults.values().sum()
    }

    /// Returns whether anything is wrong.
    pub fn has_failed(&self) -> bool {
        !self.findings.is_empty()
    }

    /// Returns one line on the rounds so far.
    pub fn progress(&self) -> String {
        format!(
            "{} faults, {} events, {} findings",
            self.faults_made(),
            self.counts.sent(),
            self.findings.len()
        )
    }

    pub(super) fn begin(&mut self, seed: u64, steps: &[JournalStep]) {
        self.seeds.push(seed);
        for step in steps {
            *self.faults.entry(step.what.name()).or_default() += 1;
        }
    }

    pub(super) fn end(&mut self, seed: u64, end: anyhow::Result<RoundEnd>) {
        match end {
            Ok(end) => {
                self.add(&end);
                let findings = end.audit.findings.iter().map(ToString::to_string);
                self.complain(seed, findings.chain(end.complaints));
            }
            Err(error) => self.complain(seed, [format!("{error:#}")]),
        }
    }

    fn add(&mut self, end: &RoundEnd) {
        self.counts += end.audit.counts;
        self.remaining += end.remains.events.len() as u64;
        self.settled_within = self.settled_within.max(end.settled_within);
        for finding in &end.audit.findings {
            let count = finding.numbers.len() as u64;
            let kind = finding.violation.to_string();
            *self.violations.entry(kind).or_default() += count;
        }
    }

    fn complain(&mut self, seed: u64, what: impl IntoIterator<Item = String>) {
        let what = what.into_iter();
        self.findings
            .extend(what.map(|what| format!("seed {seed}: {what}")));
    }

    fn of(&self, violation: &Violation) -> u64 {
        let kind = violation.to_string();
        self.violations.get(&kind).copied().unwrap_or(0)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            accepted,
            not_sent,
            unknown,
            forgotten,
            received,
            received_and_forgotten,
            missed,
            gaps,
            diverged,
            diverged_unknown,
            journals_lost,
        } = self.counts;
        let name = self.topology.name();
        let sent = self.counts.sent();
        let (faults, took) = (self.faults_made(), self.took);
        writeln!(f, "{name}: {faults} faults, {sent} events, {took:.0?}")?;
        for (fault, times) in &self.faults {
            writeln!(f, "  {times:>9} {fault}")?;
        }
        let zero = |violation: Violation| (self.of(&violation), format!("{violation} (must be 0)"));
        for (count, what) in [
            (accepted, "sends acknowledged".to_owned()),
            (not_sent, "not sent".to_owned()),
            (unknown, "with an unknown result".to_owned()),
            (
                self.remaining,
                "events in the journal in the end".to_owned(),
            ),
            (forgotten, "acknowledged and forgotten by Redis".to_owned()),
            (received, "received, by all subscribers".to_owned()),
            (
                received_and_forgotten,
                "received and forgotten by Redis".to_owned(),
            ),
            (missed, "missed and reported".to_owned()),
            (gaps, "gaps reported".to_owned()),
            (
                diverged,
                "of them: Redis has forgotten certain events".to_owned(),
            ),
            (
                diverged_unknown,
                "of them: Redis has forgotten events, unknown which".to_owned(),
            ),
            (
                journals_lost,
                "of them: the journal is another one".to_owned(),
            ),
            zero(Violation::LostInSilence),
            zero(Violation::NotFilled),
            zero(Violation::Duplicate),
            zero(Violation::OutOfOrder),
            zero(Violation::ForgottenInSilence),
            zero(Violation::Unaccounted),
        ] {
            writeln!(f, "  {count:>9} {what}")?;
        }
        writeln!(f, "  settled within {:.1?}", self.settled_within)?;
        let first = self.seeds.first().copied().unwrap_or(0);
        let last = self.seeds.last().copied().unwrap_or(first);
        writeln!(f, "  seeds {first} to {last}")?;
        for finding in self.findings.iter().take(SHOWN) {
            writeln!(f, "  {finding}")?;
        }
        Ok(())
    }
}
