//! Crashes, stops and planned failovers.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Cluster;
use crate::server::Redis;
use crate::wait::wait_for;

/// Several attempts: a failover is rejected while the replica is not in sync.
const FAILS_OVER_WITHIN: Duration = Duration::from_secs(30);

/// The time after which a manual failover is given up, and what agreement takes.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(8);

/// # Faults
impl Cluster {
    /// Kills the server on this port (SIGKILL). The others detect it by themselves.
    ///
    /// # Panics
    ///
    /// If there is no such server.
    pub fn kill(&mut self, port: u16) {
        let one = self.index(port);
        self.servers[one].redis.kill();
    }

    /// Kills the owner of this key's slot, and returns its port.
    /// [`wait_for_owner_other_than`](Self::wait_for_owner_other_than) waits for its successor.
    ///
    /// # Panics
    ///
    /// If the servers do not agree on an owner within a minute.
    pub async fn kill_owner_of(&mut self, key: &str) -> u16 {
        let port = self.owner_of(key).await.port();
        self.kill(port);
        port
    }

    /// Starts a killed server again, empty and with its place in the cluster, and waits until it
    /// answers. [`settle`](Self::settle) waits until the others know it again.
    ///
    /// # Panics
    ///
    /// If there is no such server, if it runs, or does not start.
    pub async fn start_again(&mut self, port: u16) {
        let one = self.index(port);
        self.servers[one].redis.start_again().await;
    }

    /// Freezes the server on this port (SIGSTOP): connections stay open, and nothing answers.
    ///
    /// # Panics
    ///
    /// If there is no such server, or it does not run.
    pub fn freeze(&self, port: u16) {
        self.server(port).freeze();
    }

    /// Resumes all frozen servers (SIGCONT).
    pub fn resume(&self) {
        self.running()
            .for_each(|one| self.servers[one].redis.resume());
    }

    /// Makes a replica the owner of this key's slot (`CLUSTER FAILOVER`): a planned failover, in
    /// which no write is lost. Returns the new owner once all reachable servers name it.
    ///
    /// # Panics
    ///
    /// If there is no replica, or it does not become the owner within 30 seconds.
    pub async fn failover(&self, key: &str) -> &Redis {
        let old = self.owner_of(key).await.port();
        // A replica gives up after five seconds, and has forgotten the request.
        let deadline = Instant::now() + FAILS_OVER_WITHIN;
        while Instant::now() < deadline {
            self.begin_failover(key).await;
            let other = self.wait_for_owner_other_than(key, old);
            if timeout(GIVEN_UP_WITHIN, other).await.is_ok() {
                break;
            }
        }
        self.wait_for_owner_other_than(key, old).await
    }

    /// Makes a replica the owner of this key's slot without the consent of the old owner
    /// (`CLUSTER FAILOVER TAKEOVER`): writes that the replica did not have are lost. Returns the new
    /// owner once all reachable servers that are not cut off name it.
    ///
    /// # Panics
    ///
    /// If there is no replica, or it does not become the owner within a minute.
    pub async fn take_over(&self, key: &str) -> &Redis {
        let old = self.owner_of(key).await.port();
        let replica = self.replica_of(key).await;
        let failover = ["CLUSTER", "FAILOVER", "TAKEOVER"];
        replica.command(&failover).await;
        self.wait_for_owner_other_than(key, old).await
    }

    async fn begin_failover(&self, key: &str) {
        wait_for(
            "a replica begins a failover",
            FAILS_OVER_WITHIN,
            async || {
                let replica = self.replica_of(key).await;
                let failover = ["CLUSTER", "FAILOVER"];
                replica.try_command(&failover).await.is_ok()
            },
        )
        .await;
    }
}
