//! Options of a test's sentinels and their servers.

use std::time::Duration;

use tokio::time::timeout;

use super::partition::Doors;
use super::{NAME, Sentinels};
use crate::builder::{RedisBuilder, quoted};
use crate::port::free_port;
use crate::proxy::INSIDE;
use crate::server::{PORTS_TO_TRY, Redis};
use crate::start::StartError;

const KNOW_EACH_OTHER_WITHIN: Duration = Duration::from_secs(20);

/// The number of attempts to start sentinels that know each other.
const TRIES: u32 = 2;

/// Options of a test's sentinels and their servers. Made by [`Sentinels::builder`].
///
/// ```
/// use std::time::Duration;
/// use tidings_testkit::Sentinels;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sentinels = Sentinels::builder()
///     .servers(|server| server.password("hush-hush"))
///     .sentinels(|sentinel| sentinel.password("hush-hush too"))
///     .down_after(Duration::from_millis(500))
///     .start()
///     .await;
///
/// assert!(sentinels.url().starts_with("redis+sentinel://:hush-hush@127.0.0.1:"));
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is started"]
pub struct SentinelsBuilder {
    server: RedisBuilder,
    sentinel: RedisBuilder,
    down_after: Duration,
    failover_timeout: Duration,
    has_doors: bool,
}

impl Default for SentinelsBuilder {
    fn default() -> Self {
        Self {
            server: Redis::builder(),
            sentinel: Redis::builder().sentinel(),
            down_after: Duration::from_secs(1),
            failover_timeout: Duration::from_secs(5),
            has_doors: false,
        }
    }
}

impl SentinelsBuilder {
    /// Configures the three servers: a password, ACL users, any setting. The sentinels get the
    /// password, which must not contain spaces: Redis's sentinels cannot read it back.
    pub fn servers(mut self, describe: impl FnOnce(RedisBuilder) -> RedisBuilder) -> Self {
        self.server = describe(self.server);
        self
    }

    /// Configures the three sentinels: a password, ACL users, any setting. They use their password
    /// for each other too.
    pub fn sentinels(mut self, describe: impl FnOnce(RedisBuilder) -> RedisBuilder) -> Self {
        self.sentinel = describe(self.sentinel);
        self
    }

    /// Sets the time without an answer after which a sentinel declares a server down: one second by
    /// default.
    pub fn down_after(mut self, down_after: Duration) -> Self {
        self.down_after = down_after;
        self
    }

    /// Sets the time after which a failover is aborted, and twice the pause before the next
    /// attempt: five seconds by default.
    pub fn failover_timeout(mut self, failover_timeout: Duration) -> Self {
        self.failover_timeout = failover_timeout;
        self
    }

    /// Allows [`Sentinels::partition`]: proxies stand in front of the sentinels, and the sentinels
    /// name the addresses of the proxies (`sentinel announce-port`).
    pub fn partitions(mut self) -> Self {
        self.has_doors = true;
        self.sentinels(|sentinel| sentinel.user(format!("{INSIDE} on >{INSIDE} ~* &* +@all")))
    }

    /// Starts all six, and waits until each sentinel knows all others, so that a failover works at
    /// once.
    ///
    /// # Panics
    ///
    /// If `redis-server` is not installed, or one of them does not start, with the reason; and if the
    /// sentinels do not find each other and the replicas.
    pub async fn start(self) -> Sentinels {
        for _ in 0..TRIES {
            let all = self.start_all().await;
            if timeout(KNOW_EACH_OTHER_WITHIN, all.know_each_other())
                .await
                .is_ok()
            {
                return all;
            }
            // On a machine that stalled, they may have begun a failover that outlasts this wait.
        }
        panic!("the sentinels did not find each other and the replicas, {TRIES} times");
    }

    async fn start_all(&self) -> Sentinels {
        let master = self.server.clone().start().await;
        let replica = || self.server.clone().replica_of(&master).start();
        let (one, other) = tokio::join!(replica(), replica());
        let servers = vec![master, one, other];

        let (sentinels, doors) = self.start_sentinels(&servers).await;
        Sentinels {
            sentinels,
            servers,
            doors,
        }
    }

    async fn start_sentinels(&self, servers: &[Redis]) -> (Vec<Redis>, Option<Doors>) {
        for _ in 0..PORTS_TO_TRY {
            match self.try_sentinels(servers).await {
                Ok((sentinels, doors)) => return (sentinels.into(), doors),
                Err(StartError::PortTaken(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        panic!(
            "cannot start the sentinels: free ports were taken {PORTS_TO_TRY} times by other programs"
        );
    }

    /// The sentinels know each other from the start: discovery would take them seconds.
    async fn try_sentinels(
        &self,
        servers: &[Redis],
    ) -> Result<([Redis; 3], Option<Doors>), StartError> {
        let mut all = [(); 3].map(|()| Known::new());
        let doors = if self.has_doors {
            let doors = Doors::start(all.each_ref().map(|one| one.port)).await;
            for (one, address) in all.iter_mut().zip(doors.addresses()) {
                one.announced = address.port();
            }
            Some(doors)
        } else {
            None
        };
        let start = |one: usize| Redis::launch_on(all[one].port, self.sentinel(servers, &all, one));
        let (one, two, three) = tokio::try_join!(start(0), start(1), start(2))?;
        Ok(([one, two, three], doors))
    }

    /// Returns the configuration of one sentinel.
    fn sentinel(&self, servers: &[Redis], all: &[Known; 3], itself: usize) -> RedisBuilder {
        let monitor = format!("{NAME} 127.0.0.1 {} 2", servers[0].port());
        let down_after = format!("{NAME} {}", self.down_after.as_millis());
        let failover_timeout = format!("{NAME} {}", self.failover_timeout.as_millis());
        let mut sentinel = self
            .sentinel
            .clone()
            .config("sentinel myid", &*all[itself].id)
            .config("sentinel monitor", monitor)
            .config("sentinel down-after-milliseconds", down_after)
            .config("sentinel failover-timeout", failover_timeout);
        if all[itself].announced != all[itself].port {
            sentinel = sentinel
                .config("sentinel announce-ip", "127.0.0.1")
                .config("sentinel announce-port", all[itself].announced.to_string());
        }
        if let Some(password) = &self.server.password {
            let password = format!("{NAME} {}", quoted(password));
            sentinel = sentinel.config("sentinel auth-pass", password);
        }
        for replica in &servers[1..] {
            let replica = format!("{NAME} 127.0.0.1 {}", replica.port());
            sentinel = sentinel.config("sentinel known-replica", replica);
        }
        for other in all.iter().filter(|other| other.id != all[itself].id) {
            let other = format!("{NAME} 127.0.0.1 {} {}", other.announced, other.id);
            sentinel = sentinel.config("sentinel known-sentinel", other);
        }
        sentinel
    }
}

/// A sentinel, as the others know it.
struct Known {
    port: u16,
    /// The port of the proxy in front of it, if there is one.
    announced: u16,
    /// 40 hexadecimal digits.
    id: String,
}

impl Known {
    fn new() -> Self {
        let id: [u8; 20] = rand::random();
        let port = free_port();
        Self {
            port,
            announced: port,
            id: id.map(|byte| format!("{byte:02x}")).concat(),
        }
    }
}
