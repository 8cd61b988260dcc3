//! Makes each fault happen, and ends it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tidings::{Bus, Connection};
use tidings_testkit::{Cluster, Redis};
use tokio::time::sleep;

use super::What;
use super::trial::Trial;
use crate::traffic::CHANNEL;

/// The time for which a stopped node is stopped, a cluster is down and a network is cut.
const STOPPED: Duration = Duration::from_secs(12);
const DOWN: Duration = Duration::from_secs(5);

/// The pause between two keys of a slot that moves slowly.
const PAUSE: Duration = Duration::from_millis(100);

/// The moments of a fault: its begin, and the one from which keys should come back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Struck {
    pub(super) since: Instant,
    pub(super) over: Instant,
}

impl Trial {
    /// Makes the fault happen, and ends it: all nodes run again, and the cluster is whole.
    pub(super) async fn strike(&mut self, what: What) -> Result<Struck> {
        let since = Instant::now();
        let mut over = since;
        match what {
            What::ReceivingKilled => {
                let (receiving, _) = nodes_of(&self.traffic.subscribers[0].bus)?;
                self.kill(receiving).await?;
            }
            What::SendingKilled => {
                let (_, sending) = nodes_of(&self.traffic.senders[0].bus)?;
                self.kill(sending).await?;
            }
            What::OwnerKilled => {
                let owner = self.cluster.owner_of(CHANNEL).await.port();
                self.kill(owner).await?;
            }
            What::PlannedFailover => {
                self.cluster.failover(CHANNEL).await;
            }
            What::SlotMove => {
                self.cluster.move_slot(CHANNEL).await;
            }
            What::SlowSlotMove => move_slowly(&self.cluster).await,
            What::ReceivingStopped => {
                let (receiving, _) = nodes_of(&self.traffic.subscribers[0].bus)?;
                self.cluster.freeze(receiving);
                sleep(STOPPED).await;
                self.cluster.resume();
                over = Instant::now();
            }
            What::MajorityKilled => {
                over = self.kill_majority().await;
            }
            What::AllRestarted => {
                over = self.restart_all().await;
            }
            What::NodeCutOff | What::ShardCutOff => {
                self.cut_off(what).await;
                over = Instant::now();
            }
        }
        self.cluster.settle().await;
        self.traffic.flows().await?;
        Ok(Struck { since, over })
    }

    /// Kills a node, and starts it again once its slots have another owner.
    async fn kill(&mut self, port: u16) -> Result<()> {
        let was_owner = self.cluster.owner_of(CHANNEL).await.port() == port;
        let killed = Instant::now();
        self.cluster.kill(port);
        if was_owner {
            self.cluster.wait_for_owner_other_than(CHANNEL, port).await;
            self.elected_within = killed.elapsed();
        } else {
            sleep(self.node_timeout * 2).await;
        }
        self.traffic.flows().await?;
        self.cluster.start_again(port).await;
        Ok(())
    }

    /// Kills the owner of the slot and another master: the replicas can elect nobody.
    async fn kill_majority(&mut self) -> Instant {
        let killed = self.two_masters().await;
        for port in killed {
            self.cluster.kill(port);
        }
        sleep(DOWN).await;
        for port in killed {
            self.cluster.start_again(port).await;
        }
        Instant::now()
    }

    /// The owner of the slot, and another master.
    async fn two_masters(&self) -> [u16; 2] {
        let owner = self.cluster.owner_of(CHANNEL).await.port();
        for server in self.cluster.servers().filter(|one| one.port() != owner) {
            if server.is_master().await {
                return [owner, server.port()];
            }
        }
        unreachable!("a cluster has three masters")
    }

    async fn restart_all(&mut self) -> Instant {
        let ports: Vec<_> = self.cluster.servers().map(Redis::port).collect();
        for port in &ports {
            self.cluster.kill(*port);
        }
        for port in ports {
            self.cluster.start_again(port).await;
        }
        Instant::now()
    }

    async fn cut_off(&mut self, what: What) {
        let [owner, other] = self.two_masters().await;
        let inside = if what == What::ShardCutOff {
            vec![owner, self.cluster.replica_of(CHANNEL).await.port()]
        } else {
            vec![other]
        };
        self.cluster.partition(&inside);
        sleep(STOPPED + self.node_timeout).await;
        self.cluster.heal();
    }
}

async fn move_slowly(cluster: &Cluster) {
    let moving = cluster.begin_slot_move(CHANNEL).await;
    while moving.migrate(1).await > 0 {
        sleep(PAUSE).await;
    }
    moving.finish().await;
}

/// The ports of the nodes that a bus receives from and sends through.
pub(super) fn nodes_of(bus: &Bus) -> Result<(u16, u16)> {
    let Connection::Up { server, .. } = bus.health().connection else {
        anyhow::bail!("a bus is not connected");
    };
    let ports = server.split(',').map(|part| {
        let port = part.trim_end().rsplit(':').next()?;
        port.parse().ok()
    });
    let ports: Vec<Option<u16>> = ports.collect();
    let [Some(receiving), Some(sending)] = ports[..] else {
        return Err(anyhow::anyhow!("{server}")).context("a bus names no two nodes");
    };
    Ok((receiving, sending))
}
