//! A master, two replicas, and three sentinels that watch them.

mod builder;
mod partition;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use redis::FromRedisValue;
use tokio::time::timeout;

pub use self::builder::SentinelsBuilder;
use self::partition::Doors;
use crate::address::login;
use crate::server::Redis;
use crate::wait::{poll, wait_for};

/// The name of the master.
pub(crate) const NAME: &str = "mymaster";

/// Twice the time of a failover whose first attempt fails, and the 30 s in which sentinels do nothing
/// after the machine gave them no time for 2 s (TILT).
const FAILS_OVER_WITHIN: Duration = Duration::from_mins(1);

/// A frozen sentinel does not answer, and must not delay the others.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// Real servers for one test: a master, two replicas, and three sentinels.
///
/// All of them are [`Redis`] values: kill, freeze and restart them as any other. The master's name
/// is `mymaster`, and two sentinels decide. All of them end when this is dropped, or when the test
/// ends in any other way.
///
/// Failovers are real. After a planned one, and when a killed or frozen master comes back, the old
/// master accepts commands as a master for ten seconds and more, until the sentinels make it a
/// replica.
///
/// ```
/// use tidings_testkit::Sentinels;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sentinels = Sentinels::start().await;
/// assert!(sentinels.url().starts_with("redis+sentinel://127.0.0.1:"));
/// let old = sentinels.master().await.port();
///
/// let new = sentinels.failover().await;
///
/// assert_ne!(new.port(), old);
/// assert!(new.is_master().await);
/// # }
/// ```
#[derive(Debug)]
pub struct Sentinels {
    // Dropped first, so that they do not start a failover.
    sentinels: Vec<Redis>,
    servers: Vec<Redis>,
    /// Present if clients can be cut off from the sentinels.
    doors: Option<Doors>,
}

/// # Starting
impl Sentinels {
    /// Starts all six, and waits until each sentinel knows all others, so that a failover works at
    /// once. This takes about two seconds.
    ///
    /// # Panics
    ///
    /// If `redis-server` is not installed, or one of them does not start, with the reason.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Returns a builder, for passwords, ACL users, other settings and other times.
    pub fn builder() -> SentinelsBuilder {
        SentinelsBuilder::default()
    }

    /// Returns the URL with the addresses of all three sentinels and the name of the master. It
    /// contains the servers' password, if there is one, but not that of the sentinels.
    pub fn url(&self) -> String {
        match self.servers[0].at().password() {
            Some(password) => self.url_as("", password),
            None => self.url_with(""),
        }
    }

    /// Like [`url`](Self::url), with an ACL user of the servers.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        self.url_with(&login(user, password))
    }

    fn url_with(&self, login: &str) -> String {
        let addresses = self.addresses().map(|address| address.to_string());
        format!("redis+sentinel://{login}{}/{NAME}", addresses.join(","))
    }

    /// Returns the addresses of the three sentinels, for clients.
    pub fn addresses(&self) -> [SocketAddr; 3] {
        if let Some(doors) = &self.doors {
            return doors.addresses();
        }
        [0, 1, 2].map(|index: usize| self.sentinels[index].address())
    }

    /// Returns the three servers. The first one starts as the master.
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// Returns the three servers, to kill and to restart them.
    pub fn servers_mut(&mut self) -> &mut [Redis] {
        &mut self.servers
    }

    /// Returns the three sentinels. Each is a `redis-server` process.
    pub fn sentinels(&self) -> &[Redis] {
        &self.sentinels
    }

    /// Returns the three sentinels, to kill and to restart them.
    pub fn sentinels_mut(&mut self) -> &mut [Redis] {
        &mut self.sentinels
    }
}

/// # The master
impl Sentinels {
    /// Returns the server that all reachable sentinels name as the master. It may be dead, if they
    /// have not detected it yet.
    ///
    /// # Panics
    ///
    /// If they do not agree within 60 seconds.
    pub async fn master(&self) -> &Redis {
        self.server(self.named("the sentinels agree", |_| true).await)
    }

    /// Waits until all reachable sentinels name another server than the one on `port`.
    ///
    /// # Panics
    ///
    /// If they do not within 60 seconds.
    pub async fn wait_for_master_other_than(&self, port: u16) -> &Redis {
        let named = self.named("the sentinels name another master", |named| named != port);
        self.server(named.await)
    }

    /// Waits until all name the same port, and it is `wanted`.
    async fn named(&self, what: &str, wanted: impl Fn(u16) -> bool) -> u16 {
        let mut found = None;
        wait_for(what, FAILS_OVER_WITHIN, async || {
            found = self.agreed().await.filter(|port| wanted(*port));
            found.is_some()
        })
        .await;
        found.expect("the wait ended with a port")
    }

    async fn agreed(&self) -> Option<u16> {
        let mut named = None;
        for sentinel in self.sentinels.iter().filter(|one| one.is_running()) {
            match (named, master_of(sentinel).await) {
                (_, None) => {}
                (None, port) => named = port,
                (Some(one), Some(other)) if one != other => return None,
                _ => {}
            }
        }
        named
    }

    fn server(&self, port: u16) -> &Redis {
        let server = self.servers.iter().find(|server| server.port() == port);
        server.expect("the sentinels watch our servers alone")
    }
}

/// Returns `None` if the sentinel does not answer.
async fn master_of(sentinel: &Redis) -> Option<u16> {
    let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME];
    let answer = timeout(ANSWERS_WITHIN, sentinel.try_command(&ask)).await;
    let (_host, port) = <(String, u16)>::from_redis_value(answer.ok()?.ok()?).ok()?;
    Some(port)
}

/// # Faults
impl Sentinels {
    /// Makes the sentinels promote a replica (`SENTINEL FAILOVER`): a planned failover. Returns the
    /// new master once all reachable sentinels name it.
    ///
    /// The old master stays a master for about ten seconds.
    ///
    /// # Panics
    ///
    /// If no sentinel runs, or they promote none within 60 seconds.
    pub async fn failover(&self) -> &Redis {
        let old = self.master().await.port();
        let answers = self.sentinels.iter().filter(|one| one.is_running());
        let mut asked = answers.cycle();
        // It is rejected during another failover, or while no replica is ready.
        wait_for(
            "a sentinel begins a failover",
            FAILS_OVER_WITHIN,
            async || {
                let sentinel = asked.next().expect("a sentinel runs");
                let failover = ["SENTINEL", "FAILOVER", NAME];
                let begun = timeout(ANSWERS_WITHIN, sentinel.try_command(&failover));
                begun.await.is_ok_and(|answer| answer.is_ok())
            },
        )
        .await;
        self.wait_for_master_other_than(old).await
    }

    /// Kills the master (SIGKILL), and returns its port. The sentinels detect it by themselves:
    /// [`wait_for_master_other_than`](Self::wait_for_master_other_than).
    ///
    /// # Panics
    ///
    /// If the sentinels name none within 60 seconds.
    pub async fn kill_master(&mut self) -> u16 {
        let port = self.master().await.port();
        let server = self.servers.iter_mut().find(|one| one.port() == port);
        server.expect("the master is one of them").kill();
        port
    }

    /// Freezes the master (SIGSTOP), and returns its port. [`resume`](Self::resume) continues it.
    ///
    /// # Panics
    ///
    /// If the sentinels name none within 60 seconds, or the master does not run.
    pub async fn freeze_master(&self) -> u16 {
        let master = self.master().await;
        master.freeze();
        master.port()
    }

    /// Resumes all frozen servers and sentinels (SIGCONT).
    pub fn resume(&self) {
        let all = self.servers.iter().chain(&self.sentinels);
        all.filter(|one| one.is_running()).for_each(Redis::resume);
    }
}

/// # Readiness
impl Sentinels {
    /// Waits until no failover is under way: all running sentinels name the same master, and say that
    /// it is up. Returns the master.
    ///
    /// # Panics
    ///
    /// If that takes more than 60 seconds.
    pub async fn settle(&self) -> &Redis {
        let mut master = None;
        wait_for("no failover is under way", FAILS_OVER_WITHIN, async || {
            master = self.master_at_rest().await;
            master.is_some()
        })
        .await;
        self.server(master.expect("the wait ended with a port"))
    }

    async fn master_at_rest(&self) -> Option<u16> {
        let mut ports = Vec::new();
        for sentinel in self.sentinels.iter().filter(|one| one.is_running()) {
            let asked = sentinel.try_command(&["SENTINEL", "MASTER", NAME]);
            let answer = timeout(ANSWERS_WITHIN, asked).await.ok()?.ok()?;
            let fields = Fields::from_redis_value(answer).ok()?;
            // It adds flags during a failover, and for a master that does not answer.
            let port = fields.get("port").filter(|_| fields["flags"] == "master")?;
            ports.push(port.parse().ok()?);
        }
        let first = ports.first().copied()?;
        ports.iter().all(|port| *port == first).then_some(first)
    }

    /// Waits until each sentinel is connected to all others, and to replicas that it may promote.
    async fn know_each_other(&self) {
        poll(async || {
            for sentinel in &self.sentinels {
                if !knows_all(sentinel).await {
                    return false;
                }
            }
            true
        })
        .await;
    }
}

async fn knows_all(sentinel: &Redis) -> bool {
    let sentinels = known(sentinel, "SENTINELS").await;
    let replicas = known(sentinel, "REPLICAS").await;
    // A sentinel adds flags to instances that are disconnected or down.
    let has = |field, value| move |one: &Fields| one.get(field).is_some_and(|is| is == value);
    sentinels.len() == 2
        && replicas.len() == 2
        && sentinels.iter().all(has("flags", "sentinel"))
        && replicas.iter().all(has("flags", "slave"))
        && replicas.iter().all(has("master-link-status", "ok"))
}

type Fields = HashMap<String, String>;

async fn known(sentinel: &Redis, kind: &str) -> Vec<Fields> {
    let answer = sentinel.command(&["SENTINEL", kind, NAME]).await;
    Vec::from_redis_value(answer).expect("SENTINEL answers a list of maps")
}
