//! The rows of the table: one fault each, what is demanded of tidings under it, and how often it is
//! tried.

mod chaos;
mod cut;
mod half_open;
mod promoted;
mod reloads;
mod restart;
mod sentinel;
mod values;
mod workers;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt as _;
use serde::Serialize;

pub(crate) use self::chaos::play_node;
use self::cut::Cut;
use self::half_open::HalfOpen;
use self::reloads::Reloads;
use self::sentinel::Failover;
use self::values::Values;
use self::workers::Workers;
use crate::traffic::Balance;

/// How long a bus with its defaults hears nothing before it asks, and then waits for the answer.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const SHORT_INTERVAL: Duration = Duration::from_millis(500);

/// How long it may take, once all are connected, until everybody has what Redis holds.
const PATIENCE_WITH_VALUES: Duration = Duration::from_secs(2);

/// How many of them a supervisor has.
pub(crate) const WORKERS: usize = 4;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Row {
    Cut(Cut),
    HalfOpen { how: HalfOpen, interval: Duration },
    Restart { away: Duration },
    Failover(Failover),
    Promoted,
    Chaos,
    Values(Values),
    Reloads(Reloads),
    Workers(Workers),
}

/// What a row is run with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) quick: bool,
    pub(crate) seed: u64,
}

/// What came of all trials of a row.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The row's figure, of each trial.
    pub(crate) took: Vec<Duration>,
    /// Events that hearers did not hear, of all hearers and trials.
    pub(crate) lost: u64,
    /// What else was measured, in words.
    pub(crate) notes: Vec<String>,
    /// What must not be.
    pub(crate) findings: Vec<String>,
}

/// A row as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) fault: String,
    pub(crate) figure: &'static str,
    pub(crate) limit_ms: f64,
    pub(crate) times: usize,
    pub(crate) median_ms: Option<f64>,
    pub(crate) most_ms: Option<f64>,
    /// Events that hearers did not hear; each was reported, or there is a finding.
    pub(crate) lost: u64,
    pub(crate) notes: Vec<String>,
    /// Why the row falls short; nothing if it does not.
    pub(crate) findings: Vec<String>,
}

impl Row {
    pub(crate) fn all() -> Vec<Self> {
        let mut rows = vec![Self::Cut(Cut::Reset), Self::Cut(Cut::ClientKill)];
        for interval in [PROBE_INTERVAL, SHORT_INTERVAL] {
            let half_open = HalfOpen::ALL.map(|how| Self::HalfOpen { how, interval });
            rows.extend(half_open);
        }
        let aways = [100, 500, 2_000, 10_000, 60_000].map(Duration::from_millis);
        rows.extend(aways.map(|away| Self::Restart { away }));
        rows.extend(Failover::ALL.map(Self::Failover));
        rows.extend([Self::Promoted, Self::Chaos]);
        rows.extend(Values::ALL.map(Self::Values));
        rows.extend(Reloads::ALL.map(Self::Reloads));
        rows.extend(Workers::ALL.map(Self::Workers));
        rows
    }

    /// What people call it.
    pub(crate) fn fault(self) -> String {
        match self {
            Self::Cut(cut) => cut.name().to_owned(),
            Self::HalfOpen { how, interval } if interval == PROBE_INTERVAL => {
                format!("half-open: {}", how.name())
            }
            Self::HalfOpen { how, interval } => {
                format!("half-open: {}, asked every {interval:?}", how.name())
            }
            Self::Restart { away } => format!("Redis killed, back after {away:?}"),
            Self::Failover(failover) => failover.name().to_owned(),
            Self::Promoted => "the master demoted by hand".to_owned(),
            Self::Chaos => "chaos".to_owned(),
            Self::Values(values) => values.name().to_owned(),
            Self::Reloads(reloads) => reloads.name().to_owned(),
            Self::Workers(workers) => workers.name().to_owned(),
        }
    }

    pub(crate) fn figure(self) -> &'static str {
        match self {
            Self::HalfOpen { .. } => "noticed",
            Self::Restart { .. } => "heard again after it answers",
            Self::Failover(Failover::Planned) => "longest silence",
            Self::Cut(_) | Self::Failover(_) => "heard again",
            Self::Promoted => "found and left",
            Self::Chaos => "all up again after the last fault",
            Self::Values(_) => "everybody has what Redis holds",
            Self::Reloads(_) => "all replaced, elders gone",
            Self::Workers(workers) => workers.figure(),
        }
    }

    /// How long that may take.
    pub(crate) fn limit(self) -> Duration {
        match self {
            Self::Cut(_) => Duration::from_millis(500),
            Self::HalfOpen { interval, .. } if interval == PROBE_INTERVAL => {
                Duration::from_millis(10_500)
            }
            Self::HalfOpen { interval, .. } => interval.mul_f64(2.5),
            Self::Restart { .. } => Duration::from_secs(2),
            Self::Failover(Failover::Planned) => Duration::from_millis(200),
            Self::Failover(_) => Duration::from_secs(5),
            // The role is asked for this often.
            Self::Promoted => PROBE_INTERVAL + Duration::from_millis(500),
            // Of the latter, elders may linger for five seconds.
            Self::Chaos | Self::Reloads(_) => Duration::from_secs(10),
            Self::Values(_) => PATIENCE_WITH_VALUES,
            Self::Workers(workers) => workers.limit(),
        }
    }

    fn times(self, quick: bool) -> usize {
        let times: usize = match self {
            Self::Cut(_) | Self::Reloads(_) => 20,
            Self::HalfOpen { interval, .. } if interval == PROBE_INTERVAL => 2,
            Self::Restart { away } if away > Duration::from_secs(20) => 1,
            Self::Restart { away } if away > Duration::from_secs(5) => 2,
            Self::Promoted => 2,
            Self::HalfOpen { .. } | Self::Restart { .. } | Self::Failover(_) => 5,
            Self::Chaos | Self::Values(_) | Self::Workers(_) => 1,
        };
        if quick { times.div_ceil(5) } else { times }
    }

    /// Runs all its trials. A trial that panics, because a server does not start for example, is a
    /// finding.
    pub(crate) async fn run(self, effort: Effort) -> Summary {
        let measured = AssertUnwindSafe(self.measure(effort)).catch_unwind().await;
        let outcome = match measured {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::failed(format!("{error:#}")),
            // Its words are on the terminal already.
            Err(_panic) => Outcome::failed("it panicked".to_owned()),
        };
        self.summary(outcome)
    }

    async fn measure(self, effort: Effort) -> Result<Outcome> {
        let times = self.times(effort.quick);
        match self {
            Self::Cut(cut) => cut::run(cut, times).await,
            Self::HalfOpen { how, interval } => half_open::run(how, interval, times).await,
            Self::Restart { away } => restart::run(away, times).await,
            Self::Failover(failover) => sentinel::run(failover, times).await,
            Self::Promoted => promoted::run(times).await,
            Self::Chaos => chaos::run(effort).await,
            Self::Values(values) => values::run(values, effort).await,
            Self::Reloads(reloads) => reloads::run(reloads, times).await,
            Self::Workers(workers) => workers::run(workers, effort).await,
        }
    }

    fn summary(self, outcome: Outcome) -> Summary {
        let Outcome {
            mut took,
            lost,
            notes,
            mut findings,
        } = outcome;
        took.sort_unstable();
        let limit = self.limit();
        let late = took.iter().filter(|took| **took > limit);
        findings.extend(late.map(|took| format!("{} took {took:.2?}", self.figure())));
        Summary {
            fault: self.fault(),
            figure: self.figure(),
            limit_ms: milliseconds(limit),
            times: took.len(),
            median_ms: took.get(took.len() / 2).copied().map(milliseconds),
            most_ms: took.last().copied().map(milliseconds),
            lost,
            notes,
            findings,
        }
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl Outcome {
    fn failed(why: String) -> Self {
        Self {
            findings: vec![why],
            ..Self::default()
        }
    }

    fn balance(&mut self, balance: Balance) {
        self.lost += balance.lost;
        self.findings.extend(balance.findings);
    }

    /// As [`balance`](Self::balance), where a connection that hears is lost no sooner than the one
    /// that sends: nothing may be taken that nobody hears.
    fn strict_balance(&mut self, balance: Balance) {
        if balance.taken_by_nobody > 0 {
            let count = balance.taken_by_nobody;
            let finding = format!("{count} sends were reported as taken that nobody could hear");
            self.findings.push(finding);
        }
        self.balance(balance);
    }

    /// Of trials that ran beside each other.
    fn of_all(trials: Vec<Result<Self>>) -> Self {
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
    pub(crate) fn falls_short(&self) -> bool {
        !self.findings.is_empty() || self.times == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_is_there_twice() {
        let names: BTreeSet<_> = Row::all().into_iter().map(Row::fault).collect();
        assert_eq!(names.len(), Row::all().len());
    }

    #[test]
    fn a_row_falls_short_that_took_too_long_or_was_never_tried() {
        let row = Row::Cut(Cut::Reset);
        let of = |took: &[u64]| {
            row.summary(Outcome {
                took: took.iter().map(|&ms| Duration::from_millis(ms)).collect(),
                ..Outcome::default()
            })
        };
        assert!(!of(&[500, 20]).falls_short());
        assert!(of(&[501, 20]).falls_short());
        assert!(of(&[]).falls_short());
    }
}
