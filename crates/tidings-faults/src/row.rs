//! The result of a row: the outcome of its trials, and its summary.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::traffic::Balance;

/// The default heartbeat interval of a bus.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// The number of repetitions, and the seed of random faults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) quick: bool,
    pub(crate) seed: u64,
}

/// The outcome of the trials of a row.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The row's figure, for each trial.
    pub(crate) took: Vec<Duration>,
    /// Events that were not received, of all subscribers and trials.
    pub(crate) lost: u64,
    /// Further figures, as text.
    pub(crate) notes: Vec<String>,
    /// Violations.
    pub(crate) findings: Vec<String>,
}

/// A row of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) fault: String,
    pub(crate) figure: &'static str,
    pub(crate) limit_ms: f64,
    pub(crate) trials: usize,
    pub(crate) median_ms: Option<f64>,
    pub(crate) max_ms: Option<f64>,
    /// Events that were not received; each was reported, or there is a finding.
    pub(crate) lost: u64,
    pub(crate) notes: Vec<String>,
    /// The reasons for the failure of the row; empty if it passed.
    pub(crate) findings: Vec<String>,
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl Outcome {
    pub(crate) fn failed(why: String) -> Self {
        Self {
            findings: vec![why],
            ..Self::default()
        }
    }

    pub(crate) fn balance(&mut self, balance: Balance) {
        self.lost += balance.lost;
        self.findings.extend(balance.findings);
    }

    /// As [`balance`](Self::balance), and an event that no connection received must not be reported
    /// as published. This holds where a receiving connection is lost no sooner than a sending one.
    pub(crate) fn strict_balance(&mut self, balance: Balance) {
        if balance.published_to_nobody > 0 {
            let count = balance.published_to_nobody;
            let finding =
                format!("{count} sends were reported as published that no connection received");
            self.findings.push(finding);
        }
        self.balance(balance);
    }

    /// Merges the outcomes of several trials.
    pub(crate) fn of_all(trials: Vec<Result<Self>>) -> Self {
        let mut all = Self::default();
        for trial in trials {
            let one = trial.unwrap_or_else(|error| Self::failed(format!("{error:#}")));
            all.took.extend(one.took);
            all.lost += one.lost;
            all.notes.extend(one.notes);
            all.findings.extend(one.findings);
        }
        all
    }
}

impl Summary {
    pub(crate) fn new(
        fault: String,
        figure: &'static str,
        limit: Duration,
        outcome: Outcome,
    ) -> Self {
        let Outcome {
            mut took,
            lost,
            notes,
            mut findings,
        } = outcome;
        took.sort_unstable();
        let late = took.iter().filter(|took| **took > limit);
        findings.extend(late.map(|took| format!("{figure}: took {took:.2?}")));
        Self {
            fault,
            figure,
            limit_ms: milliseconds(limit),
            trials: took.len(),
            median_ms: took.get(took.len() / 2).copied().map(milliseconds),
            max_ms: took.last().copied().map(milliseconds),
            lost,
            notes,
            findings,
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        !self.findings.is_empty() || self.trials == 0
    }
}
