//! Replication by hand: masters and replicas.

use redis::FromRedisValue;

use crate::collected::DEADLINE;
use crate::{Redis, wait_for};

/// # Replication
impl Redis {
    /// Returns whether Redis says that it is a master (`ROLE`).
    ///
    /// # Panics
    ///
    /// If Redis cannot be reached.
    pub async fn is_master(&self) -> bool {
        let role = self.command(&["ROLE"]).await;
        let role: Vec<redis::Value> = Vec::from_redis_value(role).expect("ROLE answers a list");
        let name = role.into_iter().next().map(String::from_redis_value);
        name.is_some_and(|name| name.is_ok_and(|name| name == "master"))
    }

    /// Makes the server a master (`REPLICAOF NO ONE`). Clients stay connected.
    ///
    /// # Panics
    ///
    /// If Redis cannot be reached.
    pub async fn promote(&self) {
        self.command(&["REPLICAOF", "NO", "ONE"]).await;
    }

    /// Makes the server a replica of `master` (`REPLICAOF`), and returns once it is in sync.
    /// Clients stay connected.
    ///
    /// # Panics
    ///
    /// If Redis cannot be reached, or is not in sync within ten seconds.
    pub async fn become_replica_of(&self, master: &Redis) {
        let password = master.at().password().unwrap_or_default();
        let set = ["CONFIG", "SET", "masterauth", password];
        self.command(&set).await;
        let port = master.port().to_string();
        self.command(&["REPLICAOF", "127.0.0.1", &port]).await;
        self.caught_up().await;
    }

    pub(crate) async fn caught_up(&self) {
        wait_for(
            "the replica has what its master has",
            DEADLINE,
            async || {
                let answer = self.command(&["INFO", "replication"]).await;
                let replication = String::from_redis_value(answer).expect("INFO answers a text");
                replication.contains("master_link_status:up")
            },
        )
        .await;
    }
}
