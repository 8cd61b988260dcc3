//! The state of a cluster as its servers report it: the owners of slots, and its health.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{FromRedisValue, Value};
use tokio::time::{sleep, timeout};

use super::Cluster;
use crate::server::Redis;
use crate::wait::wait_for;

/// The number of slots of every cluster.
pub(super) const SLOTS: u16 = 16_384;

/// A frozen server does not answer, and must not delay the others.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// Detection and failover at the longest `node_timeout` of a test, twice.
pub(super) const AGREES_WITHIN: Duration = Duration::from_mins(1);

/// The pause between two looks at all servers, which would otherwise keep a processor busy.
const LOOK: Duration = Duration::from_millis(30);

/// # Owners and replicas
impl Cluster {
    /// Returns the server that owns the slot of this key, as all reachable servers say. It may be
    /// dead, if they have not detected it yet.
    ///
    /// # Panics
    ///
    /// If they do not agree within a minute.
    pub async fn owner_of(&self, key: &str) -> &Redis {
        self.owner("the servers agree on an owner", key, |_| true)
            .await
    }

    /// Waits until all reachable servers say that another server than the one on `port` owns the
    /// slot of this key.
    ///
    /// # Panics
    ///
    /// If they do not within a minute.
    pub async fn wait_for_owner_other_than(&self, key: &str, port: u16) -> &Redis {
        let old = self.index(port);
        let what = "the servers name another owner";
        self.owner(what, key, |owner| owner != old).await
    }

    async fn owner(&self, what: &str, key: &str, wanted: impl Fn(usize) -> bool) -> &Redis {
        let mut found = None;
        wait_for(what, AGREES_WITHIN, async || {
            let shard = self.shard_of(key).await;
            found = shard.map(|shard| shard.owner).filter(|one| wanted(*one));
            is_met(found.is_some()).await
        })
        .await;
        &self.servers[found.expect("the wait ended with an owner")].redis
    }

    /// Returns a replica of the server that owns the slot of this key, as all reachable servers
    /// say.
    ///
    /// # Panics
    ///
    /// If they name none within a minute.
    pub async fn replica_of(&self, key: &str) -> &Redis {
        let mut found = None;
        wait_for("the servers name a replica", AGREES_WITHIN, async || {
            let shard = self.shard_of(key).await;
            found = shard.and_then(|shard| shard.replicas.first().copied());
            is_met(found.is_some()).await
        })
        .await;
        &self.servers[found.expect("the wait ended with a replica")].redis
    }

    /// Returns the shard of a key, if the reachable servers agree on its owner.
    async fn shard_of(&self, key: &str) -> Option<Shard> {
        let slot = self.slot_of(key).await?;
        let views = self.views().await;
        let mut shards = believed(&views).map(|view| view.shard(slot));
        let first = shards.next()??;
        shards
            .all(|shard| shard.is_some_and(|shard| shard.owner == first.owner))
            .then(|| first.clone())
    }

    pub(super) async fn slot_of(&self, key: &str) -> Option<u16> {
        let answers = self.ask_all(&["CLUSTER", "KEYSLOT", key]).await;
        let mut slots = answers.into_iter().filter_map(|(_, answer)| answer);
        slots.find_map(|slot| u16::from_redis_value(slot).ok())
    }

    pub(super) fn index_of(&self, id: &str) -> Option<usize> {
        self.servers.iter().position(|server| server.id == id)
    }
}

/// # Readiness
impl Cluster {
    /// Waits until the cluster is whole: each running server is connected to all others, each
    /// replica is in sync with its master, and all servers name all running ones to clients. A test
    /// that leaves servers killed, frozen or cut off waits in vain.
    ///
    /// # Panics
    ///
    /// If that takes more than a minute.
    pub async fn settle(&self) {
        wait_for("the cluster is whole", AGREES_WITHIN, async || {
            is_met(self.is_whole().await).await
        })
        .await;
    }

    async fn is_whole(&self) -> bool {
        let running = self.running().count();
        let views = self.views().await;
        let are_linked = self.ask_all(&["INFO", "replication"]).await;
        let nodes = self.ask_all(&["CLUSTER", "NODES"]).await;
        views.len() == running
            && views
                .iter()
                .all(|view| view.is_ok && view.names() == running)
            && are_linked
                .into_iter()
                .all(|(_, replication)| !text(replication).contains("master_link_status:down"))
            && nodes
                .into_iter()
                .all(|(_, nodes)| self.are_connected(&text(nodes)))
    }

    /// Returns whether all running servers are connected, in the words of `CLUSTER NODES`.
    fn are_connected(&self, nodes: &str) -> bool {
        self.running().all(|one| {
            let id = &self.servers[one].id;
            let line = nodes.lines().find(|line| line.starts_with(id.as_str()));
            let fields: Vec<_> = line.unwrap_or_default().split(' ').collect();
            let (flags, link) = (fields.get(2), fields.get(7));
            flags.is_some_and(|flags| !flags.contains("fail") && !flags.contains("handshake"))
                && link.is_some_and(|link| *link == "connected")
        })
    }
}

/// # Questions
impl Cluster {
    pub(super) fn running(&self) -> impl Iterator<Item = usize> {
        (0..self.servers.len()).filter(|one| self.servers[*one].redis.is_running())
    }

    /// Asks all running servers at once.
    async fn ask_all(&self, words: &[&str]) -> Vec<(usize, Option<Value>)> {
        let ask = async |one: usize| {
            let asked = self.servers[one].redis.try_command(words);
            let answer = timeout(ANSWERS_WITHIN, asked).await;
            (one, answer.ok().and_then(Result::ok))
        };
        join_all(self.running().map(ask)).await
    }

    /// The report of each server that answers.
    async fn views(&self) -> Vec<View> {
        let states = self.ask_all(&["CLUSTER", "INFO"]).await;
        let slots = self.ask_all(&["CLUSTER", "SLOTS"]).await;
        let is_ok = |one: usize| {
            let state = states.iter().find(|(other, _)| *other == one);
            state.is_some_and(|(_, state)| text(state.clone()).contains("cluster_state:ok"))
        };
        let views = slots.into_iter().filter_map(|(one, slots)| {
            Some(View {
                is_ok: is_ok(one),
                shards: self.shards(slots?)?,
            })
        });
        views.collect()
    }

    fn shards(&self, slots: Value) -> Option<Vec<Shard>> {
        let ranges = Vec::<Vec<Value>>::from_redis_value(slots).ok()?;
        ranges.into_iter().map(|range| self.shard(range)).collect()
    }

    /// Parses one range: its first and last slot, then the owner and the replicas, each with a host,
    /// a port and an id.
    fn shard(&self, range: Vec<Value>) -> Option<Shard> {
        let mut parts = range.into_iter();
        let mut slot = || u16::from_redis_value(parts.next()?).ok();
        let (first, last) = (slot()?, slot()?);
        let server = |part| {
            let part = Vec::<Value>::from_redis_value(part).ok()?;
            let id = String::from_redis_value(part.into_iter().nth(2)?).ok()?;
            self.index_of(&id)
        };
        let mut servers = parts.map(server);
        Some(Shard {
            slots: first..=last,
            owner: servers.next()??,
            replicas: servers.collect::<Option<_>>()?,
        })
    }
}

/// The report of one server about the cluster.
#[derive(Debug)]
struct View {
    is_ok: bool,
    shards: Vec<Shard>,
}

/// A range of slots, and the servers that have it.
#[derive(Debug, Clone)]
struct Shard {
    slots: RangeInclusive<u16>,
    owner: usize,
    replicas: Vec<usize>,
}

impl View {
    fn shard(&self, slot: u16) -> Option<&Shard> {
        self.shards.iter().find(|shard| shard.slots.contains(&slot))
    }

    /// The number of different servers.
    fn names(&self) -> usize {
        let shards = self.shards.iter();
        let servers = shards.flat_map(|shard| shard.replicas.iter().chain([&shard.owner]));
        let mut servers: Vec<_> = servers.collect();
        servers.sort_unstable();
        servers.dedup();
        servers.len()
    }
}

/// A server that is cut off says that the cluster is down, and nobody else may believe the rest of
/// what it says.
fn believed(views: &[View]) -> impl Iterator<Item = &View> {
    let some_is_ok = views.iter().any(|view| view.is_ok);
    views.iter().filter(move |view| view.is_ok == some_is_ok)
}

/// Pauses before the next look.
async fn is_met(condition: bool) -> bool {
    if !condition {
        sleep(LOOK).await;
    }
    condition
}

fn text(answer: Option<Value>) -> String {
    let text = answer.and_then(|answer| String::from_redis_value(answer).ok());
    text.unwrap_or_default()
}
