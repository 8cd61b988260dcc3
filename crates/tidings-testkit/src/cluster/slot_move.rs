//! Moves a slot to another master, with its keys.

use redis::FromRedisValue;

use super::Cluster;
use super::shape::AGREES_WITHIN;
use crate::address::Address;
use crate::server::Redis;
use crate::wait::wait_for;

/// The keys that one `MIGRATE` of a whole slot takes.
const KEYS_AT_ONCE: usize = 100;

/// The milliseconds that a `MIGRATE` may take.
const MIGRATES_WITHIN: &str = "5000";

/// A slot that is moving to another master. Made by [`Cluster::begin_slot_move`].
///
/// A server answers ASK to a command for a key that has left, and TRYAGAIN to one for several keys
/// of which some have left.
#[derive(Debug)]
#[must_use = "the slot moves until `finish`"]
pub struct SlotMove<'a> {
    cluster: &'a Cluster,
    key: String,
    slot: String,
    from: usize,
    to: usize,
}

/// # Slots
impl Cluster {
    /// Moves the slot of this key to another master, with its keys, and returns that master once
    /// all reachable servers name it.
    ///
    /// ```
    /// use tidings_testkit::Cluster;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let cluster = Cluster::builder().replicas(0).start().await;
    /// cluster.owner_of("colour").await.command(&["SET", "colour", "green"]).await;
    ///
    /// let owner = cluster.move_slot("colour").await;
    ///
    /// assert_eq!(owner.cli(&["GET", "colour"]).await, "green");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If there is one master only, or a server does not answer.
    pub async fn move_slot(&self, key: &str) -> &Redis {
        let moving = self.begin_slot_move(key).await;
        moving.finish().await
    }

    /// Begins to move the slot of this key to another master. Its keys stay until
    /// [`SlotMove::migrate`] or [`SlotMove::finish`].
    ///
    /// # Panics
    ///
    /// If there is one master only, or a server does not answer.
    pub async fn begin_slot_move(&self, key: &str) -> SlotMove<'_> {
        let from = self.index(self.owner_of(key).await.port());
        let slot = self.slot_of(key).await.expect("a server answers");
        let to = self.other_master(from).await;
        let moving = SlotMove {
            cluster: self,
            key: key.to_owned(),
            slot: slot.to_string(),
            from,
            to,
        };
        moving.set_slot(to, "IMPORTING", from).await;
        moving.set_slot(from, "MIGRATING", to).await;
        moving
    }

    async fn other_master(&self, than: usize) -> usize {
        for one in self.running().filter(|one| *one != than) {
            if self.servers[one].redis.is_master().await {
                return one;
            }
        }
        panic!("the cluster has no other master that could take the slot");
    }
}

impl<'a> SlotMove<'a> {
    /// Moves at most this many keys, and returns their number: 0 if none is left.
    ///
    /// # Panics
    ///
    /// If a server does not answer.
    pub async fn migrate(&self, count: usize) -> usize {
        let source = &self.cluster.servers[self.from].redis;
        let count = count.to_string();
        let get = ["CLUSTER", "GETKEYSINSLOT", &self.slot, &count];
        let keys = source.command(&get).await;
        let keys = Vec::<String>::from_redis_value(keys).expect("Redis answers a list of keys");
        if !keys.is_empty() {
            let target = self.cluster.servers[self.to].redis.at();
            let keys: Vec<_> = keys.iter().map(String::as_str).collect();
            migrate(source, target, &keys).await;
        }
        keys.len()
    }

    /// Moves the keys that are left, and gives the slot to the new owner. Returns it once all
    /// reachable servers name it.
    ///
    /// # Panics
    ///
    /// If a server does not answer.
    pub async fn finish(self) -> &'a Redis {
        while self.migrate(KEYS_AT_ONCE).await > 0 {}
        // The new owner first: with the old one first, the slot would have no owner for a while.
        self.set_slot(self.to, "NODE", self.to).await;
        self.set_slot(self.from, "NODE", self.to).await;
        let old = self.cluster.servers[self.from].redis.port();
        let others = self.cluster.wait_for_owner_other_than(&self.key, old);
        others.await
    }

    async fn set_slot(&self, on: usize, state: &str, node: usize) {
        let node = &self.cluster.servers[node].id;
        let set = ["CLUSTER", "SETSLOT", &self.slot, state, node];
        self.cluster.servers[on].redis.command(&set).await;
    }
}

/// Moves these keys. Right after a failover the target may not know yet that its slots are served: it
/// rejects them, and the source keeps them.
async fn migrate(source: &Redis, target: &Address, keys: &[&str]) {
    let port = target.port().to_string();
    let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", MIGRATES_WITHIN];
    if let Some(password) = target.password() {
        words.extend(["AUTH", password]);
    }
    words.push("KEYS");
    words.extend(keys);
    wait_for(
        "the target takes the keys",
        AGREES_WITHIN,
        async || match source.try_command(&words).await {
            Ok(_) => true,
            Err(error) if error.to_string().contains("CLUSTERDOWN") => false,
            Err(error) => panic!("MIGRATE of {keys:?}: {error}"),
        },
    )
    .await;
}
