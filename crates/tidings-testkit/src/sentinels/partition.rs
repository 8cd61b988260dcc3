//! Clients that are cut off from the sentinels, and do not learn of a failover.

use std::net::{Ipv4Addr, SocketAddr};

use super::{NAME, Sentinels};
use crate::proxy::{Direction, Fault, INSIDE, Proxy, is_inside};

/// # Partitions
impl Sentinels {
    /// Cuts the clients of [`inside_url`](Self::inside_url) off from the sentinels. They do not learn
    /// of a failover, and go on with the old master as long as it accepts their commands. What the
    /// sentinels send meanwhile arrives with [`heal`](Self::heal).
    ///
    /// ```
    /// use tidings_testkit::Sentinels;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let sentinels = Sentinels::builder().partitions().start().await;
    /// let old = sentinels.master().await;
    ///
    /// sentinels.partition();
    /// let new = sentinels.failover().await;
    ///
    /// // Two masters: the clients of `inside_url` use the old one.
    /// assert!(old.is_master().await && new.is_master().await);
    /// old.become_replica_of(new).await; // it forgets what it was sent meanwhile
    /// sentinels.heal();
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the sentinels were started without [`partitions`](super::SentinelsBuilder::partitions).
    pub fn partition(&self) {
        let cut = Fault::Blackhole(Direction::Both);
        let fault = move |first: &[u8]| if is_inside(first) { cut } else { Fault::None };
        self.doors().set(fault);
    }

    /// Ends the partition. What was sent meanwhile arrives.
    ///
    /// # Panics
    ///
    /// If the sentinels were started without [`partitions`](super::SentinelsBuilder::partitions).
    pub fn heal(&self) {
        self.doors().set(|_| Fault::None);
    }

    /// Returns the URL of the clients that [`partition`](Self::partition) cuts off. It has no
    /// password of the servers.
    ///
    /// # Panics
    ///
    /// If the sentinels were started without [`partitions`](super::SentinelsBuilder::partitions).
    pub fn inside_url(&self) -> String {
        let [one, two, three] = self.doors().addresses();
        format!(
            "redis+sentinel://{one},{two},{three}/{NAME}\
             ?sentinel_user={INSIDE}&sentinel_password={INSIDE}"
        )
    }

    fn doors(&self) -> &Doors {
        let doors = self.doors.as_ref();
        doors.expect("the sentinels were started with `partitions`")
    }
}

/// The proxies in front of the sentinels.
#[derive(Debug)]
pub(super) struct Doors([Proxy; 3]);

impl Doors {
    /// Starts proxies in front of the sentinels on these ports.
    pub(super) async fn start([one, two, three]: [u16; 3]) -> Self {
        let proxy = |port: u16| Proxy::start((Ipv4Addr::LOCALHOST, port).into());
        let doors = Self([proxy(one).await, proxy(two).await, proxy(three).await]);
        // Connections are told apart from the first one on.
        doors.set(|_| Fault::None);
        doors
    }

    pub(super) fn addresses(&self) -> [SocketAddr; 3] {
        self.0.each_ref().map(Proxy::address)
    }

    fn set(&self, fault: impl Fn(&[u8]) -> Fault + Clone + Send + 'static) {
        for proxy in &self.0 {
            proxy.set_by_first_bytes(fault.clone());
        }
    }
}
