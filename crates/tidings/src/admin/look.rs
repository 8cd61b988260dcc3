//! Asks one server for its state.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use redis::RedisResult;
use tokio::time::Instant;

use crate::admin::answers::Asking;
use crate::admin::examine::examine;
use crate::admin::fields::Fields;
use crate::admin::key_count::{self, KeyCount};
use crate::admin::server::{SentinelState, Server, ServerRole, ServerState};
use crate::admin::settings::{Settings, settings};
use crate::admin::view::Admin;
use crate::admin::{certificate, info};
use crate::error::connect::ConnectError;
use crate::transport::server::backlogs_of;
use crate::transport::server::redis_connection::{RedisConnection, in_time, sentinel_question};
use crate::transport::server::role::Role;
use crate::transport::servers::Located;

/// The time for all questions to a server, as a multiple of the time for one.
const ALL: u32 = 5;

pub(super) const DOING: &str = "asking for the state";

impl Admin {
    /// Asks a server.
    pub(super) async fn look_at_one(&self, located: &Located, with_settings: bool) -> Server {
        Server {
            address: located.shown(),
            is_sentinel: located.is_sentinel,
            state: self.connect_and_ask(located, with_settings).await,
        }
    }

    async fn connect_and_ask(
        &self,
        located: &Located,
        with_settings: bool,
    ) -> Result<ServerState, ConnectError> {
        let (access, at) = (self.servers.access(located), &located.at);
        let opening = access.open(at, None, DOING);
        let mut line = in_time(self.timeout, DOING, opening).await?;
        let access = line.access.clone();
        let certificate = line.certificate.take();
        let hello = ServerState {
            role: role_of(&line, located),
            version: line.version.clone(),
            ..ServerState::default()
        };
        let all = self.timeout.saturating_mul(ALL);
        let end = Instant::now() + all;
        // What is known at the end is returned, so the connection is given a little longer.
        let asked = line.ask_within(all + self.timeout, DOING, async |client| {
            let asking = Asking::new(client.clone(), &access, self.timeout, end);
            let look = Look {
                admin: self,
                with_settings,
                located,
                certificate: certificate.as_deref(),
                asking: &asking,
            };
            let state = look.ask(hello).await;
            let state = examine(self, located, &asking, state).await;
            let has_answer = asking.has_answer();
            let denied = asking.end()?;
            Ok(has_answer.then_some(ServerState { denied, ..state }))
        });
        asked.await?.ok_or(ConnectError::timed_out(DOING))
    }
}

/// The questions to one server.
struct Look<'a> {
    admin: &'a Admin,
    with_settings: bool,
    located: &'a Located,
    certificate: Option<&'a [u8]>,
    asking: &'a Asking<'a>,
}

impl Look<'_> {
    async fn ask(&self, hello: ServerState) -> ServerState {
        let (round_trip, clock) = self.clock().await;
        let info: Option<String> = self.asking.words("INFO").await;
        let info = Fields::of_lines(&info.unwrap_or_default());
        let role = info::role(&info).unwrap_or(hello.role);
        let (largest_backlog, keys, cluster, sentinel, settings) = tokio::join!(
            self.largest_backlog(),
            self.keys(role),
            self.cluster(),
            self.sentinel(),
            self.settings(),
        );
        let node = self.located.node.clone();
        ServerState {
            role,
            round_trip,
            clock,
            offset: info::offset(&info, role),
            replication: (role == ServerRole::Replica).then(|| info::replication(&info)),
            used_memory: info.number("used_memory"),
            max_memory: info.number("maxmemory").filter(|bytes| *bytes > 0),
            clients: info.number("connected_clients"),
            largest_backlog,
            slots: node.unwrap_or_default().slots,
            keys,
            cluster,
            sentinel,
            settings,
            info,
            ..hello
        }
    }

    /// Asks for the time of the server, and measures the time to its answer. A sentinel does not tell
    /// the time.
    async fn clock(&self) -> (Duration, Option<SystemTime>) {
        let began = Instant::now();
        if self.located.is_sentinel {
            let _: Option<String> = self.asking.words("PING").await;
            return (began.elapsed(), None);
        }
        let time: Option<(u64, u32)> = self.asking.words("TIME").await;
        let round_trip = began.elapsed();
        let clock = time.and_then(|(seconds, micros)| {
            let micros = Duration::from_micros(micros.into());
            let since = Duration::from_secs(seconds).checked_add(micros)?;
            SystemTime::UNIX_EPOCH.checked_add(since)
        });
        (round_trip, clock)
    }

    async fn largest_backlog(&self) -> Option<u64> {
        if self.located.is_sentinel {
            return None;
        }
        let backlogs = backlogs_of(0, self.asking.client());
        let backlogs = self.asking.in_time(backlogs).await?;
        let backlogs = self.asking.noted("CLIENT LIST", backlogs)?;
        let largest = backlogs.iter().map(|backlog| backlog.bytes).max();
        Some(largest.unwrap_or(0) as u64)
    }

    /// Counts the keys of the namespace on the master that has them.
    async fn keys(&self, role: ServerRole) -> Option<KeyCount> {
        if role != ServerRole::Master {
            return None;
        }
        let (client, namespace) = (self.asking.client(), &self.admin.namespace);
        let slot = self.admin.servers.slot();
        if slot.is_some_and(|slot| !self.located.has_slot(slot)) {
            return None;
        }
        let command = slot.map_or("SCAN", |_| "CLUSTER GETKEYSINSLOT");
        let counted = key_count::count(client, namespace, slot);
        let counted = self.asking.in_time(counted).await?;
        self.asking.noted(command, counted)
    }

    async fn cluster(&self) -> Fields {
        if self.located.node.is_none() {
            return Fields::default();
        }
        let state: Option<String> = self.asking.words("CLUSTER INFO").await;
        Fields::of_lines(&state.unwrap_or_default())
    }

    async fn sentinel(&self) -> Option<SentinelState> {
        let name = self.admin.servers.master()?;
        if !self.located.is_sentinel {
            return None;
        }
        let master = self
            .asking
            .ask("SENTINEL MASTER", sentinel_question("MASTER", name));
        let master: Option<HashMap<String, String>> = master.await;
        let ckquorum = sentinel_question("CKQUORUM", name);
        let quorum = self.asking.client().query(&ckquorum);
        let quorum: Option<RedisResult<()>> = self.asking.in_time(quorum).await;
        let quorum_problem = match quorum {
            None => None,
            Some(Err(error)) if error.code() == Some("NOQUORUM") => {
                error.detail().map(str::to_owned)
            }
            Some(other) => {
                self.asking.noted("SENTINEL CKQUORUM", other);
                None
            }
        };
        Some(SentinelState {
            master: master.unwrap_or_default().into_iter().collect(),
            quorum_problem,
        })
    }

    async fn settings(&self) -> Option<Settings> {
        if !self.with_settings {
            return None;
        }
        Some(Settings {
            certificate_ends: self.certificate.and_then(certificate::end),
            ..settings(self.asking).await
        })
    }
}

/// The role that the connection or the topology tells, for a user who may not run `INFO`.
fn role_of(line: &RedisConnection, located: &Located) -> ServerRole {
    match &line.role {
        _ if located.is_sentinel => ServerRole::Sentinel,
        Role::Master => ServerRole::Master,
        Role::Other(role) if role == "replica" => ServerRole::Replica,
        Role::Other(_) | Role::Hidden => ServerRole::Unknown,
    }
}
