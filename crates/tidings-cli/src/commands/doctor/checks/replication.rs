//! Checks of masters and their replicas.

use tidings::TopologyKind;
use tidings::admin::ServerRole;

use crate::commands::doctor::checks::settings::{bytes, set};
use crate::commands::doctor::command::{host_and_port, quoted, redis_cli_at};
use crate::commands::doctor::facts::{Facts, Server, State};
use crate::commands::doctor::finding::{Finding, each, each_master};

/// Redis's default of `repl-backlog-size`.
const SMALLEST_BACKLOG: u64 = 1 << 20;

/// The longest silence of a replica, in seconds.
const LONGEST_SILENCE: u64 = 10;

/// The number of bytes that a replica may be behind.
const LARGEST_LAG: u64 = 8 << 20;

pub(crate) fn replica_link(facts: &Facts) -> Vec<Finding> {
    each(facts, |server, state| {
        if state.role != ServerRole::Replica {
            return Ok(None);
        }
        if state.info("master_link_status")? == "up" {
            return Ok(Some(Finding::ok(
                "the replicas are connected to their masters",
            )));
        }
        let host = state.info("master_host")?;
        let port = state.info("master_port")?;
        let text = format!("the replica is not connected to its master {host}:{port}");
        let look = server.cli(&["INFO", "replication"]);
        Ok(Some(Finding::error(text).cure(look)))
    })
}

pub(crate) fn replica_lag(facts: &Facts) -> Vec<Finding> {
    each_master(facts, |server, state| {
        let replicas: Vec<_> = replicas(state).collect();
        if replicas.is_empty() {
            return Ok(None);
        }
        let own = state.info_number("master_repl_offset")?;
        for replica in replicas {
            let behind = own.saturating_sub(replica.offset);
            let name = replica.address;
            let text = match () {
                () if !replica.is_online => {
                    format!("the replica {name} is still copying its master")
                }
                () if behind > LARGEST_LAG => {
                    format!("the replica {name} is {} behind", bytes(behind))
                }
                () if replica.silence > LONGEST_SILENCE => {
                    format!(
                        "the replica {name} has been silent for {}s",
                        replica.silence
                    )
                }
                () => continue,
            };
            let text = format!("{text}: a failover would lose what it does not have");
            let look = server.cli(&["INFO", "replication"]);
            return Ok(Some(Finding::warning(text).cure(look)));
        }
        Ok(Some(Finding::ok("the replicas are up to date")))
    })
}

/// A replica, as its master sees it.
struct Replica {
    address: String,
    is_online: bool,
    offset: u64,
    /// The time since its last acknowledgement, in seconds.
    silence: u64,
}

/// Parses the lines `slave0:ip=…,port=…,state=online,offset=14,lag=0`.
fn replicas(state: &State) -> impl Iterator<Item = Replica> {
    let lines = state.info.iter().filter(|(name, value)| {
        let number = name.strip_prefix("slave").unwrap_or_default();
        number.parse::<u32>().is_ok() && value.contains('=')
    });
    lines.map(|(_, line)| {
        let field = |name: &str| {
            let mut fields = line.split(',').filter_map(|field| field.split_once('='));
            fields
                .find(|field| field.0 == name)
                .map_or("", |field| field.1)
        };
        Replica {
            address: format!("{}:{}", field("ip"), field("port")),
            is_online: field("state") == "online",
            offset: field("offset").parse().unwrap_or_default(),
            silence: field("lag").parse().unwrap_or_default(),
        }
    })
}

pub(crate) fn replica_count(facts: &Facts) -> Vec<Finding> {
    if facts.topology != TopologyKind::Sentinel {
        return Vec::new();
    }
    each_master(facts, |server, state| {
        if state.info_number("connected_slaves")? > 0 {
            return Ok(Some(Finding::ok("the master has replicas")));
        }
        let text = "the master has no replica, so there is no server for a failover: make another \
                    server its replica";
        Ok(Some(Finding::error(text).cure(replicate(server))))
    })
}

/// The command that makes another server the replica of a master.
fn replicate(master: &Server) -> String {
    let (host, port) = host_and_port(&master.address);
    let words = ["REPLICAOF", host, port];
    redis_cli_at("HOST", "PORT", master.is_tls, &words)
}

pub(crate) fn replica_writes(facts: &Facts) -> Vec<Finding> {
    each(facts, |server, state| {
        if state.role != ServerRole::Replica {
            return Ok(None);
        }
        Ok(Some(if state.config("replica-read-only")? == "yes" {
            Finding::ok("the replicas take no writes")
        } else {
            Finding::warning(
                "replica-read-only is off: what is written to this replica is lost without an error",
            )
            .cure(set(server, "replica-read-only", "yes"))
        }))
    })
}

pub(crate) fn min_replicas(facts: &Facts) -> Vec<Finding> {
    each_master(facts, |server, state| {
        let connected = state.info_number("connected_slaves")?;
        let wanted = state.config_number("min-replicas-to-write")?;
        // Redis counts those without lag only while it is asked to.
        let good = state
            .info_number("min_slaves_good_slaves")
            .unwrap_or(connected);
        if wanted > good {
            let text = format!(
                "Redis rejects writes: min-replicas-to-write is {wanted}, and {good} replicas are \
                 connected and up to date"
            );
            return Ok(Some(missing_replicas(facts, server, Finding::error(text))));
        }
        if wanted == 0 && connected > 0 && facts.has_journal() {
            let text = "min-replicas-to-write is 0: a master that is cut off from its replicas \
                        accepts entries of the journal, which are lost when it comes back";
            let raise = set(server, "min-replicas-to-write", "1");
            return Ok(Some(Finding::warning(text).cure(raise)));
        }
        Ok(Some(Finding::ok(
            "the masters have as many replicas as they need for writes",
        )))
    })
}

/// Adds the replicas to start, or the command that makes one.
fn missing_replicas(facts: &Facts, master: &Server, finding: Finding) -> Finding {
    let down = facts.servers.iter().filter(|it| it.state.is_err());
    let down: Vec<_> = down.map(|it| quoted(&it.address)).collect();
    if down.is_empty() {
        return finding
            .cure(master.cli(&["INFO", "replication"]))
            .cure(replicate(master));
    }
    finding.cure(format!("start {}", down.join(" and ")))
}

pub(crate) fn backlog(facts: &Facts) -> Vec<Finding> {
    each_master(facts, |server, state| {
        if state.info_number("connected_slaves")? == 0 {
            return Ok(None);
        }
        let size = state.config_number("repl-backlog-size")?;
        Ok(Some(if size >= SMALLEST_BACKLOG {
            Finding::ok("the replication backlog is large enough")
        } else {
            Finding::warning(format!(
                "repl-backlog-size is {}: a replica that was disconnected copies everything again",
                bytes(size)
            ))
            .cure(set(server, "repl-backlog-size", "16mb"))
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::facts::fields;

    #[test]
    fn the_replicas_are_read_from_the_lines_of_their_master() {
        let first = "ip=10.0.0.8,port=6379,state=online,offset=14,lag=12";
        let second = "ip=::1,port=6380,state=wait_bgsave,offset=0,lag=0";
        let info = [
            ("slave0", first),
            ("slave1", second),
            ("slave_expires_tracked_keys", "0"),
        ];
        let state = State {
            info: fields(&info),
            ..State::default()
        };
        let replicas: Vec<_> = replicas(&state).collect();
        assert_eq!(replicas.len(), 2);
        assert_eq!(replicas[0].address, "10.0.0.8:6379");
        assert_eq!((replicas[0].offset, replicas[0].silence), (14, 12));
        assert!(replicas[0].is_online && !replicas[1].is_online);
    }
}
