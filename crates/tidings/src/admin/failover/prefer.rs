//! Makes the sentinels prefer one of several replicas: they choose by priority.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::admin::failover::line::Line;
use crate::admin::failover::report::FailoverError;
use crate::error::connect::ConnectError;
use crate::error::report;
use crate::transport::address::shown;

/// The time until a sentinel knows a new priority: it asks each server every 10 s.
const LIMIT: Duration = Duration::from_secs(15);

const POLL: Duration = Duration::from_millis(100);

/// The preference of a replica, until it is put back.
pub(super) struct Preference {
    replica: Line,
    /// The priority that it had.
    before: Option<u64>,
}

impl Preference {
    /// Gives the replica a lower priority than the others have, and waits until the sentinel knows it.
    pub(super) async fn begin(
        (lowest, own): (Option<u64>, u64),
        replica: &Line,
        sentinel: &Line,
        master: &str,
    ) -> Result<Self, FailoverError> {
        let Some(lowest) = lowest.filter(|lowest| *lowest <= own) else {
            let replica = replica.clone();
            return Ok(Self {
                replica,
                before: None,
            });
        };
        if lowest < 2 {
            return Err(FailoverError::NotReady {
                to: replica.shown(),
                why: "another replica has the `replica-priority` 1, and the sentinels prefer the \
                      lowest: raise it first"
                    .to_owned(),
            });
        }
        let rejected = |line: &Line| {
            let server = line.shown();
            move |source| FailoverError::Rejected {
                doing: "prefer the replica",
                server,
                source,
            }
        };
        set(replica, lowest - 1).await.map_err(rejected(replica))?;
        let preference = Self {
            replica: replica.clone(),
            before: Some(own),
        };
        let until = Instant::now() + LIMIT;
        while Instant::now() < until {
            match known(sentinel, master, &replica.shown()).await {
                Ok(Some(priority)) if priority == lowest - 1 => return Ok(preference),
                Ok(_) => sleep(POLL).await,
                Err(source) => {
                    preference.end().await;
                    return Err(rejected(sentinel)(source));
                }
            }
        }
        preference.end().await;
        Err(rejected(sentinel)(ConnectError::timed_out(
            "waiting for its new priority",
        )))
    }

    pub(super) fn is_new(&self) -> bool {
        self.before.is_some()
    }

    /// Puts the priority back.
    pub(super) async fn end(self) {
        if let Some(before) = self.before
            && let Err(why) = set(&self.replica, before).await
        {
            let why = report(&why).to_string();
            let server = self.replica.shown();
            tracing::warn!(
                server,
                priority = before,
                why,
                "cannot put the priority back"
            );
        }
    }
}

async fn set(replica: &Line, priority: u64) -> Result<(), ConnectError> {
    replica
        .words(&format!("CONFIG SET replica-priority {priority}"))
        .await
}

/// The priority of a replica, as the sentinel knows it.
async fn known(sentinel: &Line, master: &str, replica: &str) -> Result<Option<u64>, ConnectError> {
    let mut replicas = redis::cmd("SENTINEL");
    replicas.arg("REPLICAS").arg(master);
    let replicas: Vec<HashMap<String, String>> = sentinel.ask(&replicas).await?;
    let own = replicas.iter().find(|fields| {
        let host = fields.get("ip").cloned().unwrap_or_default();
        let port = fields.get("port").and_then(|port| port.parse().ok());
        port.is_some_and(|port| shown(&(host, port)) == replica)
    });
    Ok(own.and_then(|fields| fields.get("slave-priority")?.parse().ok()))
}
