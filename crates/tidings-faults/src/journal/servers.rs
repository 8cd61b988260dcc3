//! The servers of a round, and their faults.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::Serialize;
use tidings_testkit::{Cluster, Proxy, Redis, Sentinels};
use tokio::time::sleep;

use super::faults::{JournalFault, JournalStep};
use super::log::Deleted;
use crate::disrupt::{CHANNEL, apply, disrupt_server};
use crate::script::{Disruption, Step};

/// The time without an answer after which a server is down for the sentinels.
const DOWN_AFTER: Duration = Duration::from_millis(1_200);
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(4);

/// The same for the servers of a cluster.
const NODE_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The longest unread output of a connection while pages are cut. An event with ballast fits.
const SMALL: &str = "normal 20kb 0 0";
const UNLIMITED: &str = "normal 0 0 0";

/// The kind of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// One Redis with an append-only file, and a proxy in front of it for each bus.
    Standalone,
    /// A master, two replicas and three sentinels.
    Sentinel,
    /// A Redis Cluster of three masters and three replicas.
    Cluster,
}

impl Topology {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Standalone, Self::Sentinel, Self::Cluster];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
        }
    }
}

/// The servers of a round.
#[derive(Debug)]
pub enum Servers {
    /// With a proxy for each bus.
    Standalone {
        /// The server.
        redis: Box<Redis>,
        /// In the order of the buses.
        proxies: Vec<Proxy>,
    },
    /// Clients can be cut off from the sentinels.
    Sentinel(Sentinels),
    /// The network between the servers can be cut.
    Cluster(Cluster),
}

impl Servers {
    /// Starts the servers for this many buses.
    pub async fn start(topology: Topology, buses: usize) -> Self {
        match topology {
            Topology::Standalone => {
                let builder = Redis::builder().config("appendonly", "yes");
                let redis = builder.config("appendfsync", "everysec").start().await;
                let mut proxies = Vec::new();
                for _ in 0..buses {
                    proxies.push(Proxy::start(redis.address()).await);
                }
                let redis = Box::new(redis);
                Self::Standalone { redis, proxies }
            }
            Topology::Sentinel => {
                let builder = Sentinels::builder()
                    .down_after(DOWN_AFTER)
                    .failover_timeout(FAILOVER_TIMEOUT)
                    .partitions();
                Self::Sentinel(builder.start().await)
            }
            Topology::Cluster => {
                // A server that is killed by itself must have its entries when it starts again.
                let builder = Cluster::builder()
                    .node_timeout(NODE_TIMEOUT)
                    .servers(|server| server.config("appendonly", "yes"))
                    .partitions();
                Self::Cluster(builder.start().await)
            }
        }
    }

    /// Returns the URL of a bus. Buses inside stay with the old master during a split.
    pub fn url(&self, bus: usize, is_inside: bool) -> String {
        match self {
            Self::Standalone { proxies, .. } => proxies[bus].url(),
            Self::Sentinel(sentinels) if is_inside => sentinels.inside_url(),
            Self::Sentinel(sentinels) => sentinels.url(),
            Self::Cluster(cluster) if is_inside => cluster.inside_url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    /// Returns the server that has the journal.
    pub async fn holder(&self) -> &Redis {
        match self {
            Self::Standalone { redis, .. } => redis,
            Self::Sentinel(sentinels) => sentinels.settle().await,
            Self::Cluster(cluster) => cluster.owner_of(CHANNEL).await,
        }
    }

    /// Makes a fault happen, and ends it: all servers run, and each replica follows its master.
    /// Returns the journal that it deleted. Faults of handlers are not made here.
    ///
    /// # Errors
    ///
    /// When a server does not answer as expected.
    pub async fn strike(&mut self, step: JournalStep) -> Result<Option<Deleted>> {
        match step.what {
            JournalFault::Usual(what) => self.disrupt(what, step).await,
            JournalFault::SmallPages => cut_pages(self.holder().await, step.lasts).await,
            JournalFault::Truncated => self.truncate(step).await,
            JournalFault::Flushed => return Deleted::flush(self.holder().await).await.map(Some),
            JournalFault::Evicted => return Deleted::evict(self.holder().await).await.map(Some),
            JournalFault::SlowHandler
            | JournalFault::DurableRestarted
            | JournalFault::DurableKilled => {}
            what => match self {
                Self::Standalone { .. } => {}
                Self::Sentinel(sentinels) => fail_over(sentinels, what, step.lasts).await?,
                Self::Cluster(cluster) => change_owner(cluster, what, step.lasts).await,
            },
        }
        Ok(None)
    }

    async fn disrupt(&mut self, what: Disruption, step: JournalStep) {
        let Self::Standalone { redis, proxies } = self else {
            return disrupt_server(what, step.lasts, self.holder().await).await;
        };
        let step = Step {
            what,
            at: step.at % proxies.len(),
            lasts: step.lasts,
            rest: step.rest,
        };
        apply(step, redis, proxies).await;
    }

    /// Kills Redis, and starts it without the last few hundred bytes of its append-only file.
    async fn truncate(&mut self, step: JournalStep) {
        let Self::Standalone { redis, .. } = self else {
            return;
        };
        redis.kill();
        redis.truncate_append_only_file(100 + step.at as u64);
        sleep(step.lasts / 4).await;
        redis.start_again().await;
    }
}

/// Lets Redis close connections that have more than this to read.
async fn cut_pages(redis: &Redis, time: Duration) {
    let set = ["CONFIG", "SET", "client-output-buffer-limit"];
    redis.command(&[&set[..], &[SMALL]].concat()).await;
    sleep(time).await;
    redis.command(&[&set[..], &[UNLIMITED]].concat()).await;
}

async fn fail_over(sentinels: &mut Sentinels, what: JournalFault, lasts: Duration) -> Result<()> {
    let old = sentinels.settle().await.port();
    let new = match what {
        JournalFault::Killed => {
            sentinels.kill_master().await;
            sentinels.wait_for_master_other_than(old).await.port()
        }
        JournalFault::Lossy => {
            cut_off_replicas(sentinels, old).await;
            sleep(lasts).await;
            sentinels.kill_master().await;
            sentinels.wait_for_master_other_than(old).await.port()
        }
        JournalFault::Split => {
            sentinels.partition();
            cut_off_replicas(sentinels, old).await;
            let new = sentinels.failover().await.port();
            sleep(lasts).await;
            new
        }
        _ => {
            let new = sentinels.failover().await.port();
            sleep(lasts).await;
            new
        }
    };
    demote(sentinels, old, new).await?;
    sentinels.heal();
    Ok(())
}

async fn cut_off_replicas(sentinels: &Sentinels, master: u16) {
    for server in sentinels.servers() {
        if server.port() != master {
            server.cut_replication().await;
        }
    }
}

/// Starts the old master if it is dead, and makes it a replica: it forgets what the new one does not
/// have. The sentinels would take ten seconds for that.
async fn demote(sentinels: &mut Sentinels, old: u16, new: u16) -> Result<()> {
    let servers = sentinels.servers_mut();
    for server in servers.iter().filter(|server| server.is_running()) {
        server.restore_replication().await;
    }
    let of_port = |port: u16| servers.iter().position(|server| server.port() == port);
    let (old, new) = of_port(old).zip(of_port(new)).context("unknown ports")?;
    if !servers[old].is_running() {
        servers[old].start_again().await;
    }
    servers[old].become_replica_of(&servers[new]).await;
    Ok(())
}

async fn change_owner(cluster: &mut Cluster, what: JournalFault, lasts: Duration) {
    match what {
        JournalFault::Killed => {
            let old = cluster.kill_owner_of(CHANNEL).await;
            cluster.wait_for_owner_other_than(CHANNEL, old).await;
            cluster.start_again(old).await;
        }
        JournalFault::Lossy => {
            let replica = cluster.replica_of(CHANNEL).await;
            replica.cut_replication().await;
            sleep(lasts).await;
            cluster.take_over(CHANNEL).await;
            replica.restore_replication().await;
        }
        JournalFault::Split => split(cluster, lasts).await,
        JournalFault::SlotMoved => {
            cluster.move_slot(CHANNEL).await;
        }
        _ => {
            cluster.failover(CHANNEL).await;
        }
    }
    cluster.settle().await;
}

/// Cuts the owner off, and lets its replica take over. The clients inside go on with the old owner
/// until that gives up.
async fn split(cluster: &Cluster, lasts: Duration) {
    let old = cluster.owner_of(CHANNEL).await.port();
    let replica = cluster.replica_of(CHANNEL).await;
    cluster.partition(&[old]);
    sleep(lasts).await;
    let failover = ["CLUSTER", "FAILOVER", "TAKEOVER"];
    replica.command(&failover).await;
    sleep(lasts).await;
    cluster.heal();
    cluster.wait_for_owner_other_than(CHANNEL, old).await;
}
