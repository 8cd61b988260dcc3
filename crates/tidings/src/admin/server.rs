//! The state of a server, and what follows from the states of several.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::{Duration, SystemTime};

use crate::admin::answers::Denied;
use crate::admin::cluster_nodes::ClusterNode;
use crate::admin::fields::Fields;
use crate::admin::key_count::KeyCount;
use crate::admin::settings::Settings;
use crate::error::connect::ConnectError;

/// A server of the topology.
#[derive(Debug)]
#[non_exhaustive]
pub struct Server {
    /// The host and the port at which it is named, or the path of its socket.
    pub address: String,
    /// True for a sentinel.
    pub is_sentinel: bool,
    /// Its state, or the reason why it cannot be reached.
    pub state: Result<ServerState, ConnectError>,
}

/// The state of a server that answers. Where a field is `None`, the server does not have it, or the
/// user may not ask for it.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ServerState {
    /// Its role, as it reports it itself.
    pub role: ServerRole,
    /// The version of Redis that it has or is compatible with.
    pub version: Option<String>,
    /// The time from a question to its answer over an open connection.
    pub round_trip: Duration,
    /// Its clock, at the middle of that time.
    pub clock: Option<SystemTime>,
    /// The milliseconds by which its clock is ahead of the one of this machine, if the settings were
    /// asked for.
    pub clock_offset: Option<i64>,
    /// The bytes of its replication stream.
    pub offset: Option<u64>,
    /// The replication of a replica.
    pub replication: Option<Replication>,
    /// The bytes of memory that it uses.
    pub used_memory: Option<u64>,
    /// The bytes of memory that it may use, if they are limited.
    pub max_memory: Option<u64>,
    /// The number of connections, including the one that asked.
    pub clients: Option<u64>,
    /// The bytes that wait for the slowest subscriber.
    pub largest_backlog: Option<u64>,
    /// The first and the last slot of each range that a master of a cluster has.
    pub slots: Vec<(u16, u16)>,
    /// The keys of the namespace, on the master that has them.
    pub keys: Option<KeyCount>,
    /// The answer to `INFO`, with its default sections.
    pub info: Fields,
    /// The answer of a node to `CLUSTER INFO`.
    pub cluster: Fields,
    /// The nodes of the cluster, as this one sees them, if the settings were asked for.
    pub nodes: Vec<ClusterNode>,
    /// The state of the master as a sentinel knows it.
    pub sentinel: Option<SentinelState>,
    /// Its settings, if they were asked for.
    pub settings: Option<Settings>,
    /// The questions that it rejected.
    pub denied: Vec<Denied>,
}

/// The role of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerRole {
    /// It accepts writes.
    Master,
    /// It copies a master.
    Replica,
    /// It watches a master and its replicas.
    Sentinel,
    /// It does not report its role.
    #[default]
    Unknown,
}

/// The replication of a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replication {
    /// The host and the port of its master.
    pub master: String,
    /// True if it is connected to its master, and no full copy is under way.
    pub is_connected: bool,
    /// The bytes that its master has and it does not, as far as the master answered, too.
    pub lag_bytes: Option<u64>,
    /// The time since it received anything from its master, in whole seconds. An idle master sends
    /// something every 10 s.
    pub silence: Option<Duration>,
    /// Its priority in a failover of the sentinels: the lowest is preferred, and 0 is never promoted.
    pub priority: Option<u64>,
}

/// The state of the master as a sentinel knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentinelState {
    /// The answer to `SENTINEL MASTER`.
    pub master: Fields,
    /// The reason why too few sentinels answer each other to agree on a failover.
    pub quorum_problem: Option<String>,
}

impl fmt::Display for ServerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Master => "master",
            Self::Replica => "replica",
            Self::Sentinel => "sentinel",
            Self::Unknown => "unknown",
        })
    }
}

/// Removes servers that are named by two addresses.
pub(super) fn remove_twins(servers: &mut Vec<Server>) {
    let mut known = HashSet::new();
    servers.retain(|server| {
        let info = server.state.as_ref().ok().map(|state| &state.info);
        let id = info.and_then(|info| info.get("run_id"));
        id.is_none_or(|id| known.insert(id.to_owned()))
    });
}

/// Compares the offset of each replica with that of its master. The master has the same history of
/// writes, whatever the address at which it is named.
pub(super) fn compare_offsets(servers: &mut [Server]) {
    let states = servers
        .iter()
        .filter_map(|server| server.state.as_ref().ok());
    let masters = states.filter(|state| state.role == ServerRole::Master);
    let offsets: HashMap<String, u64> = masters
        .filter_map(|master| Some((history(master)?.to_owned(), master.offset?)))
        .collect();
    for server in servers {
        let Ok(state) = &mut server.state else {
            continue;
        };
        let of_master = history(state).and_then(|history| offsets.get(history));
        let lag = of_master.zip(state.offset);
        if let Some(replication) = &mut state.replication {
            replication.lag_bytes = lag.map(|(master, own)| master.saturating_sub(own));
        }
    }
}

/// The identity of its history of writes, which a master and its replicas share.
pub(super) fn history(state: &ServerState) -> Option<&str> {
    state.info.get("master_replid")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(role: ServerRole, run_id: &str, history: &str, offset: u64) -> Server {
        Server {
            address: run_id.to_owned(),
            is_sentinel: false,
            state: Ok(ServerState {
                role,
                offset: Some(offset),
                replication: (role == ServerRole::Replica).then(Replication::default),
                info: [("run_id", run_id), ("master_replid", history)]
                    .into_iter()
                    .collect(),
                ..ServerState::default()
            }),
        }
    }

    #[test]
    fn the_lag_of_a_replica_is_that_behind_the_master_of_its_history() {
        let mut servers = [
            server(ServerRole::Replica, "a", "one", 70),
            server(ServerRole::Master, "b", "one", 100),
            server(ServerRole::Master, "c", "two", 500),
            server(ServerRole::Replica, "d", "two", 600),
            server(ServerRole::Replica, "e", "three", 600),
        ];
        compare_offsets(&mut servers);
        let lag = |server: &Server| server.state.as_ref().ok()?.replication.as_ref()?.lag_bytes;
        let lags: Vec<_> = servers.iter().map(lag).collect();
        // The replica was asked later than its master.
        assert_eq!(lags, [Some(30), None, None, Some(0), None]);
    }

    #[test]
    fn a_server_with_two_addresses_is_listed_once() {
        let lost = Server {
            state: Err(ConnectError::Lost),
            ..server(ServerRole::Unknown, "x", "", 0)
        };
        let mut servers = vec![
            server(ServerRole::Master, "a", "one", 1),
            lost,
            server(ServerRole::Master, "a", "one", 1),
        ];
        remove_twins(&mut servers);
        assert_eq!(servers.len(), 2);
    }
}
