//! Makes the sentinels prefer one of several replicas: they choose by priority.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::admin::failover::line::Line;
use crate::admin::failover::report::{FailoverError, FailoverReport};
use crate::admin::failover::sentinel::Sentinel;
use crate::error::connect::ConnectError;
use crate::error::report;
use crate::transport::address::shown;
use crate::transport::server::redis_connection::sentinel_question;

/// The time until a sentinel knows a new priority: it asks each server every 10 s.
const LIMIT: Duration = Duration::from_secs(15);

const POLL: Duration = Duration::from_millis(100);

/// The number of attempts to put the old priority back.
const ATTEMPTS: u32 = 3;

/// The preference of a replica, until it is put back.
pub(super) struct Preference {
    replica: Line,
    /// The priority that it had.
    before: u64,
    /// The priority to give it, unless it is preferred already.
    wanted: Option<u64>,
    /// True if the replica may have the new priority.
    is_set: bool,
}

impl Preference {
    /// Returns the preference that makes the replica the one with the lowest priority.
    pub(super) fn of(
        (lowest, own): (Option<u64>, u64),
        replica: &Line,
    ) -> Result<Self, FailoverError> {
        let lowest = lowest.filter(|lowest| *lowest <= own);
        if lowest.is_some_and(|lowest| lowest < 2) {
            return Err(FailoverError::NotReady {
                to: replica.shown(),
                why: "another replica has the `replica-priority` 1, and the sentinels prefer the \
                      lowest: raise it first"
                    .to_owned(),
            });
        }
        Ok(Self {
            replica: replica.clone(),
            before: own,
            wanted: lowest.map(|lowest| lowest - 1),
            is_set: false,
        })
    }

    /// Gives the replica its new priority, and waits until the sentinel knows it. It can be dropped at
    /// any time; [`end`](Self::end) puts the priority back.
    pub(super) async fn begin(&mut self, sentinel: &Sentinel) -> Result<(), FailoverError> {
        let Some(wanted) = self.wanted else {
            return Ok(());
        };
        let rejected = |line: &Line| line.rejected("prefer the replica");
        // Without an answer, it may be set.
        self.is_set = true;
        if let Err(source) = set(&self.replica, wanted).await {
            let is_rejected = matches!(
                source,
                ConnectError::Redis { .. } | ConnectError::Denied { .. }
            );
            self.is_set = !is_rejected;
            return Err(rejected(&self.replica)(source));
        }
        let until = Instant::now() + LIMIT;
        while Instant::now() < until {
            let replicas = replicas(sentinel).await.map_err(rejected(&sentinel.line))?;
            let own = replicas
                .iter()
                .find(|it| it.address == self.replica.shown());
            if own.is_some_and(|own| own.priority == Some(wanted)) {
                return Ok(());
            }
            sleep(POLL).await;
        }
        let late = ConnectError::timed_out("waiting for its new priority");
        Err(rejected(&sentinel.line)(late))
    }

    pub(super) fn is_new(&self) -> bool {
        self.wanted.is_some()
    }

    /// Puts the priority back, and adds to the result if that fails.
    pub(super) async fn end(
        self,
        result: Result<FailoverReport, FailoverError>,
    ) -> Result<FailoverReport, FailoverError> {
        if !self.is_set {
            return result;
        }
        let mut attempts = 1;
        let why = loop {
            match set(&self.replica, self.before).await {
                Ok(()) => return result,
                Err(why) if attempts == ATTEMPTS => break why,
                Err(_) => attempts += 1,
            }
            sleep(POLL).await;
        };
        let problem = format!(
            "the `replica-priority` of {} is not put back, set it to {}: {}",
            self.replica.shown(),
            self.before,
            report(&why)
        );
        match result {
            Ok(mut report) => {
                report.problems.push(problem);
                Ok(report)
            }
            Err(source) => Err(FailoverError::NotRestored {
                problem,
                source: Box::new(source),
            }),
        }
    }
}

async fn set(replica: &Line, priority: u64) -> Result<(), ConnectError> {
    replica
        .words(&format!("CONFIG SET replica-priority {priority}"))
        .await
}

/// A replica, as a sentinel knows it.
pub(super) struct Known {
    pub(super) address: String,
    priority: Option<u64>,
    /// True if it may be promoted, as far as the connection to it is concerned.
    pub(super) is_up: bool,
}

/// The replicas that a sentinel knows.
pub(super) async fn replicas(sentinel: &Sentinel) -> Result<Vec<Known>, ConnectError> {
    let replicas = sentinel_question("REPLICAS", &sentinel.master);
    let replicas: Vec<HashMap<String, String>> = sentinel.line.ask(&replicas).await?;
    Ok(replicas.iter().filter_map(known).collect())
}

fn known(fields: &HashMap<String, String>) -> Option<Known> {
    let (host, port) = (fields.get("ip")?.clone(), fields.get("port")?.parse().ok()?);
    let mut flags = fields.get("flags")?.split(',');
    Some(Known {
        address: shown(&(host, port)),
        priority: fields.get("slave-priority").and_then(|it| it.parse().ok()),
        is_up: !flags.any(|flag| ["s_down", "o_down", "disconnected"].contains(&flag)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_the_sentinel_does_not_reach_is_not_promoted() {
        let replica = |flags: &str| {
            let fields = [
                ("ip", "10.0.0.8"),
                ("port", "6379"),
                ("flags", flags),
                ("slave-priority", "100"),
            ];
            known(
                &fields
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
            )
        };
        let up = replica("slave").unwrap();
        assert_eq!(
            (up.address.as_str(), up.priority),
            ("10.0.0.8:6379", Some(100))
        );
        assert!(up.is_up);
        assert!(!replica("s_down,slave,disconnected").unwrap().is_up);
        assert!(known(&HashMap::new()).is_none());
    }
}
