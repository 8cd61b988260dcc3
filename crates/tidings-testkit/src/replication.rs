//! Replication by hand: masters and replicas.

use std::collections::HashMap;

use redis::FromRedisValue;

use crate::collected::DEADLINE;
use crate::{Redis, wait_for};

/// The start of the password of a replica that is cut off. The right one follows.
const WRONG_PASSWORD: &str = "a wrong password instead of ";

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
        self.set_password_of_master(password).await;
        let port = master.port().to_string();
        self.command(&["REPLICAOF", "127.0.0.1", &port]).await;
        self.caught_up().await;
    }

    /// Cuts a replica off from its master: it keeps what it has, answers clients, and can be
    /// promoted, but receives nothing until [`restore_replication`](Self::restore_replication).
    ///
    /// With a failover to it, the writes that it did not receive are lost, although the old master
    /// has acknowledged them.
    ///
    /// ```
    /// use tidings_testkit::Redis;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let master = Redis::start().await;
    /// let replica = Redis::builder().replica_of(&master).start().await;
    ///
    /// replica.cut_replication().await;
    /// master.command(&["SET", "colour", "green"]).await;
    /// replica.promote().await;
    ///
    /// assert_eq!(replica.cli(&["EXISTS", "colour"]).await, "0");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If Redis cannot be reached.
    pub async fn cut_replication(&self) {
        let password = self.password_of_master().await;
        // The next login fails, and so do all that follow, also where the master has no password.
        if !password.starts_with(WRONG_PASSWORD) {
            let wrong = format!("{WRONG_PASSWORD}{password}");
            self.set_password_of_master(&wrong).await;
        }
        self.command(&["CLIENT", "KILL", "TYPE", "master"]).await;
    }

    /// Lets a replica receive again from its master, within about a second.
    ///
    /// # Panics
    ///
    /// If Redis cannot be reached.
    pub async fn restore_replication(&self) {
        let password = self.password_of_master().await;
        if let Some(password) = password.strip_prefix(WRONG_PASSWORD) {
            self.set_password_of_master(password).await;
        }
    }

    async fn password_of_master(&self) -> String {
        let answer = self.command(&["CONFIG", "GET", "masterauth"]).await;
        let settings = HashMap::<String, String>::from_redis_value(answer);
        let mut settings = settings.expect("CONFIG GET answers settings");
        let password = settings.remove("masterauth");
        password.expect("the answer has the setting that was asked for")
    }

    async fn set_password_of_master(&self, password: &str) {
        let set = ["CONFIG", "SET", "masterauth", password];
        self.command(&set).await;
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
