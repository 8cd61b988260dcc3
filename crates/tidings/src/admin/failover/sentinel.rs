//! The switch of masters by sentinels.

use std::time::Duration;

use futures_util::future::join_all;
use redis::ConnectionAddr;
use tokio::time::{Instant, sleep};

use crate::admin::failover::line::Line;
use crate::admin::failover::report::FailoverError;
use crate::error::connect::ConnectError;
use crate::transport::address::{Place, address_of, shown_address};
use crate::transport::server::redis_connection::sentinel_question;

/// The time that the old master has to become a replica: the sentinels demote it after 10 s.
const DEMOTE: Duration = Duration::from_secs(12);

const RETRY: Duration = Duration::from_millis(500);

/// The sentinels that name a server as the master, and the name of that master.
pub(super) struct Sentinel {
    /// The one that begins the failover.
    pub(super) line: Line,
    others: Vec<Line>,
    pub(super) master: String,
}

impl Sentinel {
    /// Returns the sentinels that answer, if all of them name the server at this address as the master.
    pub(super) async fn find(
        lines: Vec<Line>,
        master: &str,
        at: &ConnectionAddr,
    ) -> Result<Self, FailoverError> {
        let said = ask_all(&lines, master).await;
        let (mut naming, mut other) = (Vec::new(), None);
        let mut why = ConnectError::Sentinels {
            master: master.to_owned(),
            said: "none knows this name".to_owned(),
            is_final: false,
        };
        for (line, named) in lines.into_iter().zip(said) {
            match named {
                Ok(Some(named)) if named == *at => naming.push(line),
                Ok(named) => other = named.or(other),
                Err(error) => why = error,
            }
        }
        // Another sentinel may not have heard of the change yet.
        if let Some(other) = other {
            return Err(FailoverError::MasterChanged {
                from: shown_address(at),
                master: shown_address(&other),
            });
        }
        let mut naming = naming.into_iter();
        let line = naming.next().ok_or(why)?;
        Ok(Self {
            line,
            others: naming.collect(),
            master: master.to_owned(),
        })
    }

    /// Begins the failover.
    pub(super) async fn begin(&self) -> Result<(), ConnectError> {
        let failover = sentinel_question("FAILOVER", &self.master);
        self.line.once(&failover).await
    }

    /// Returns the server that the sentinel names as the master instead of the old one.
    pub(super) async fn successor(&self, old: &ConnectionAddr) -> Option<ConnectionAddr> {
        let named = named(&self.line, &self.master).await;
        named.ok().flatten().filter(|named| named != old)
    }

    /// Returns the server that any of the sentinels names as the master instead of the old one.
    pub(super) async fn any_successor(&self, old: &ConnectionAddr) -> Option<ConnectionAddr> {
        let lines: Vec<_> = [&self.line]
            .into_iter()
            .chain(&self.others)
            .cloned()
            .collect();
        let said = ask_all(&lines, &self.master).await;
        let mut named = said.into_iter().filter_map(|named| named.ok().flatten());
        named.find(|named| named != old)
    }
}

async fn ask_all(
    lines: &[Line],
    master: &str,
) -> Vec<Result<Option<ConnectionAddr>, ConnectError>> {
    let mut asking = Vec::new();
    for line in lines {
        asking.push(named(line, master));
    }
    join_all(asking).await
}

/// Returns the server that a sentinel names as the master.
async fn named(line: &Line, master: &str) -> Result<Option<ConnectionAddr>, ConnectError> {
    let question = sentinel_question("GET-MASTER-ADDR-BY-NAME", master);
    let named: Option<Place> = line.ask(&question).await?;
    Ok(named.as_ref().map(address_of))
}

/// Makes the old master a replica, and closes the connections of its clients: otherwise the sentinels
/// do so after 10 s, and it accepts writes until then that are lost. Tries again until then.
pub(super) async fn demote(old: &Line, new: &ConnectionAddr) -> Result<(), ConnectError> {
    let until = Instant::now() + DEMOTE;
    loop {
        match try_to_demote(old, new).await {
            Err(why) if Instant::now() > until => return Err(why),
            Err(_) => sleep(RETRY).await,
            Ok(()) => return Ok(()),
        }
    }
}

async fn try_to_demote(old: &Line, new: &ConnectionAddr) -> Result<(), ConnectError> {
    let ConnectionAddr::Tcp(host, port) = new else {
        return Ok(());
    };
    let mut replica_of = redis::cmd("REPLICAOF");
    replica_of.arg(host).arg(port);
    if let Err(why) = old.ask::<()>(&replica_of).await {
        // The sentinels close the connections, too.
        let replication = old.replication().await?;
        let is_replica = replication.get("role") == Some("slave");
        return if is_replica { Ok(()) } else { Err(why) };
    }
    for kind in ["normal", "pubsub"] {
        let close = format!("CLIENT KILL TYPE {kind} SKIPME yes");
        old.words::<u64>(&close).await?;
    }
    Ok(())
}

/// Checks that the user may demote this server, with forms of the commands that fail for all users:
/// a failure after the switch would lose events.
pub(super) async fn may_demote(master: &Line) -> Result<(), FailoverError> {
    for probe in ["REPLICAOF 127.0.0.1 none", "CLIENT KILL TYPE none"] {
        let answer = master.words::<redis::Value>(probe).await;
        if let Err(source) = answer
            && !is_probe_understood(&source)
        {
            let doing = "check the permissions to make it a replica";
            return Err(master.rejected(doing)(source));
        }
    }
    Ok(())
}

/// Returns true if the server ran the command and rejected its arguments.
fn is_probe_understood(error: &ConnectError) -> bool {
    let ConnectError::Redis { words, .. } = error else {
        return false;
    };
    !words.to_lowercase().contains("unknown command")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_or_renamed_command_is_noticed_before_the_failover() {
        let error = |words: &str| ConnectError::Redis {
            doing: "asking",
            words: words.to_owned(),
            cure: None,
            is_final: false,
        };
        for understood in ["ERR Invalid master port", "ERR Unknown client type 'none'"] {
            assert!(is_probe_understood(&error(understood)), "{understood}");
        }
        let renamed = "ERR unknown command 'REPLICAOF', with args beginning with: 'none'";
        let denied = ConnectError::Denied {
            doing: "asking",
            words: "NOPERM this user has no permissions to run the 'replicaof' command".to_owned(),
            cure: String::new(),
        };
        for not_run in [error(renamed), denied, ConnectError::Lost] {
            assert!(!is_probe_understood(&not_run), "{not_run}");
        }
    }
}
