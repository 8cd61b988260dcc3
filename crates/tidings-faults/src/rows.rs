//! The rows of the table: a fault, the figure that tidings must reach under it, and the number of
//! trials.

mod chaos;
mod cluster;
mod cut;
mod half_open;
mod journal;
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
use tidings_faults::journal::servers::Topology;

pub(crate) use self::chaos::run_node;
use self::cluster::ClusterFault;
use self::cut::Cut;
use self::half_open::HalfOpen;
use self::journal::JournalRow;
use self::reloads::Reloads;
use self::sentinel::Failover;
use self::values::Values;
use self::workers::Workers;
use crate::row::{Effort, HEARTBEAT_INTERVAL, Outcome, Summary};

const SHORT_INTERVAL: Duration = Duration::from_millis(500);

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Row {
    Cut(Cut),
    HalfOpen { how: HalfOpen, interval: Duration },
    Restart { away: Duration },
    Failover(Failover),
    Promoted,
    Chaos,
    Cluster(ClusterFault),
    ClusterChaos,
    Values(Values),
    Reloads(Reloads),
    Workers(Workers),
    Journal(JournalRow),
}

impl Row {
    pub(crate) fn all() -> Vec<Self> {
        let mut rows = vec![Self::Cut(Cut::Reset), Self::Cut(Cut::ClientKill)];
        for interval in [HEARTBEAT_INTERVAL, SHORT_INTERVAL] {
            let half_open = HalfOpen::ALL.map(|how| Self::HalfOpen { how, interval });
            rows.extend(half_open);
        }
        let aways = [100, 500, 2_000, 10_000, 60_000].map(Duration::from_millis);
        rows.extend(aways.map(|away| Self::Restart { away }));
        rows.extend(Failover::ALL.map(Self::Failover));
        rows.extend([Self::Promoted, Self::Chaos]);
        rows.extend(ClusterFault::ALL.map(Self::Cluster));
        rows.push(Self::ClusterChaos);
        rows.extend(Values::ALL.map(Self::Values));
        rows.extend(Reloads::ALL.map(Self::Reloads));
        rows.extend(Workers::ALL.map(Self::Workers));
        rows.extend(JournalRow::ALL.map(Self::Journal));
        rows
    }

    /// The name in tables and arguments.
    pub(crate) fn fault(self) -> String {
        match self {
            Self::Cut(cut) => cut.name().to_owned(),
            Self::HalfOpen { how, interval } if interval == HEARTBEAT_INTERVAL => {
                format!("half-open: {}", how.name())
            }
            Self::HalfOpen { how, interval } => {
                format!("half-open: {}, heartbeat every {interval:?}", how.name())
            }
            Self::Restart { away } => format!("Redis killed, restarted after {away:?}"),
            Self::Failover(failover) => failover.name().to_owned(),
            Self::Promoted => "master demoted with REPLICAOF".to_owned(),
            Self::Chaos => "chaos".to_owned(),
            Self::Cluster(fault) => fault.name(),
            Self::ClusterChaos => "Cluster: chaos".to_owned(),
            Self::Values(values) => values.name().to_owned(),
            Self::Reloads(reloads) => reloads.name().to_owned(),
            Self::Workers(workers) => workers.name().to_owned(),
            Self::Journal(row) => row.name(),
        }
    }

    pub(crate) fn topology(self) -> Topology {
        match self {
            Self::Cluster(_) | Self::ClusterChaos => Topology::Cluster,
            Self::Failover(_) | Self::Values(Values::Sentinel) => Topology::Sentinel,
            Self::Journal(row) => row.topology(),
            _ => Topology::Standalone,
        }
    }

    pub(crate) fn figure(self) -> &'static str {
        match self {
            Self::HalfOpen { .. } => "detected",
            Self::Restart { .. } => "receiving again after Redis answers",
            Self::Failover(Failover::Planned) | Self::Journal(_) => "longest pause",
            Self::Cluster(_) | Self::ClusterChaos => "longest silence",
            Self::Cut(_) | Self::Failover(_) => "receiving again",
            Self::Promoted => "detected and left",
            Self::Chaos => "all connected after the last fault",
            Self::Values(_) => "all copies equal to Redis",
            Self::Reloads(_) => "all replaced, old workers gone",
            Self::Workers(workers) => workers.figure(),
        }
    }

    /// The limit of the figure.
    pub(crate) fn limit(self) -> Duration {
        match self {
            Self::Cut(_) => Duration::from_millis(500),
            Self::HalfOpen { interval, .. } if interval == HEARTBEAT_INTERVAL => {
                Duration::from_millis(10_500)
            }
            Self::HalfOpen { interval, .. } => interval.mul_f64(2.5),
            Self::Restart { .. } => Duration::from_secs(2),
            Self::Failover(Failover::Planned) => Duration::from_millis(200),
            Self::Failover(_) => Duration::from_secs(5),
            Self::Cluster(fault) => fault.limit(),
            Self::ClusterChaos => cluster::CHAOS_LIMIT,
            // The interval of the role check.
            Self::Promoted => HEARTBEAT_INTERVAL + Duration::from_millis(500),
            // Old workers may drain for five seconds.
            Self::Chaos | Self::Reloads(_) => Duration::from_secs(10),
            Self::Values(_) => values::CONVERGES_WITHIN,
            Self::Workers(workers) => workers.limit(),
            Self::Journal(row) => row.limit(),
        }
    }

    fn times(self, quick: bool) -> usize {
        let times: usize = match self {
            Self::Cut(_) | Self::Reloads(_) => 20,
            Self::HalfOpen { interval, .. } if interval == HEARTBEAT_INTERVAL => 2,
            Self::Restart { away } if away > Duration::from_secs(20) => 1,
            Self::Restart { away } if away > Duration::from_secs(5) => 2,
            Self::Promoted => 2,
            Self::HalfOpen { .. } | Self::Restart { .. } | Self::Failover(_) => 5,
            Self::Cluster(fault) => fault.times(),
            Self::Journal(row) => row.times(),
            Self::Chaos | Self::ClusterChaos | Self::Values(_) | Self::Workers(_) => 1,
        };
        if quick { times.div_ceil(5) } else { times }
    }

    /// Runs all trials. A trial that panics, for example because a server does not start, is a
    /// finding.
    pub(crate) async fn run(self, effort: Effort) -> Summary {
        let measured = AssertUnwindSafe(self.measure(effort)).catch_unwind().await;
        let outcome = match measured {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::failed(format!("{error:#}")),
            // The panic hook has printed the message.
            Err(_panic) => Outcome::failed("a trial panicked".to_owned()),
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
            Self::Cluster(fault) => cluster::run(fault, times).await,
            Self::ClusterChaos => cluster::run_chaos(effort).await,
            Self::Values(values) => values::run(values, effort).await,
            Self::Reloads(reloads) => reloads::run(reloads, times).await,
            Self::Workers(workers) => workers::run(workers, effort).await,
            Self::Journal(row) => journal::run(row, times, effort).await,
        }
    }

    fn summary(self, outcome: Outcome) -> Summary {
        Summary::new(self.fault(), self.figure(), self.limit(), outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_exists_twice() {
        let names: BTreeSet<_> = Row::all().into_iter().map(Row::fault).collect();
        assert_eq!(names.len(), Row::all().len());
    }

    #[test]
    fn a_row_fails_that_took_too_long_or_was_never_tried() {
        let row = Row::Cut(Cut::Reset);
        let of = |took: &[u64]| {
            row.summary(Outcome {
                took: took.iter().map(|&ms| Duration::from_millis(ms)).collect(),
                ..Outcome::default()
            })
        };
        assert!(!of(&[500, 20]).has_failed());
        assert!(of(&[501, 20]).has_failed());
        assert!(of(&[]).has_failed());
    }
}
