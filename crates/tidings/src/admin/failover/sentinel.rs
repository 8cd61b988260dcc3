//! The switch of masters by sentinels.

use redis::ConnectionAddr;

use crate::admin::failover::line::Line;
use crate::error::connect::ConnectError;
use crate::error::report;
use crate::transport::address::{Place, address_of};

/// A sentinel, and the name of the master that it watches.
pub(super) struct Sentinel {
    pub(super) line: Line,
    pub(super) master: String,
}

impl Sentinel {
    /// Returns the first sentinel that knows the master at this address.
    pub(super) async fn find(
        lines: impl Iterator<Item = Line>,
        master: &str,
        at: &ConnectionAddr,
    ) -> Result<Self, ConnectError> {
        let mut why = ConnectError::Lost;
        for line in lines {
            let master = master.to_owned();
            let sentinel = Self { line, master };
            match sentinel.names(at).await {
                Ok(true) => return Ok(sentinel),
                Ok(false) => {}
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// Begins the failover.
    pub(super) async fn begin(&self) -> Result<(), ConnectError> {
        self.line.once(&self.question("FAILOVER")).await
    }

    /// Returns true if it names the server at this address as the master.
    pub(super) async fn names(&self, at: &ConnectionAddr) -> Result<bool, ConnectError> {
        let question = self.question("GET-MASTER-ADDR-BY-NAME");
        let named: Option<Place> = self.line.ask(&question).await?;
        Ok(named.is_some_and(|named| address_of(&named) == *at))
    }

    fn question(&self, what: &str) -> redis::Cmd {
        let mut question = redis::cmd("SENTINEL");
        question.arg(what).arg(&self.master);
        question
    }
}

/// Makes the old master a replica, and closes the connections of its clients: otherwise the sentinels
/// do so after 10 s, and it accepts writes until then that are lost.
pub(super) async fn demote(old: &Line, new: &ConnectionAddr) {
    let ConnectionAddr::Tcp(host, port) = new else {
        return;
    };
    let mut replica_of = redis::cmd("REPLICAOF");
    replica_of.arg(host).arg(port);
    let demoted: Result<(), ConnectError> = old.ask(&replica_of).await;
    if let Err(why) = demoted {
        let (server, why) = (old.shown(), report(&why).to_string());
        tracing::warn!(server, why, "the old master is left to the sentinels");
    }
    for kind in ["normal", "pubsub"] {
        let close = format!("CLIENT KILL TYPE {kind} SKIPME yes");
        let _: Result<u64, ConnectError> = old.words(&close).await;
    }
}
