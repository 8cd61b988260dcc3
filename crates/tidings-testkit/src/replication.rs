//! Masters and replicas, made by hand.

use redis::FromRedisValue;

use crate::collected::DEADLINE;
use crate::{Redis, wait_for};

/// Making it a master or a replica.
impl Redis {
    /// Whether Redis itself says that it is a master (`ROLE`).
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

    /// Makes it a master (`REPLICAOF NO ONE`), and tells nobody: who is connected stays connected.
    ///
    /// # Panics
    ///
    /// If Redis cannot be reached.
    pub async fn promote(&self) {
        self.command(&["REPLICAOF", "NO", "ONE"]).await;
    }

    /// Makes it a replica of that server (`REPLICAOF`), and returns once it has what its master
    /// has. Who is connected stays connected.
    ///
    /// # Panics
    ///
    /// If Redis cannot be reached, or does not reach its master within ten seconds.
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
