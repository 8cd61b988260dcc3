//! A bus for tests, which records the gaps and failures that it reports.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use tidings::{Bus, BusBuilder, Failure, Gap, ReceiveKey};

use crate::collected::Collected;
use crate::version::Version;
use crate::{Proxy, Redis};

/// A password that is easy to find where no password may be.
const PASSWORD: &str = "hush-hush";

/// A [`Bus`] that records its gaps and failures, so that a test can wait for them.
///
/// ```
/// use tidings_testkit::{Collected, memory_nodes};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (sender, subscriber) = memory_nodes().await;
/// let ticks: Collected<u64> = subscriber.collect("tick");
///
/// sender.send_to_all("tick", &"not a number").await.expect("memory accepts every event");
/// sender.send_to_all("tick", &1).await.expect("memory accepts every event");
///
/// assert_eq!(*ticks.wait_for(|_| true).await, 1);
/// subscriber.failures().wait_for(|failure| failure.to_string().contains("`tick`")).await;
/// # }
/// ```
#[derive(Debug)]
pub struct Node {
    bus: Bus,
    gaps: Collected<Gap>,
    failures: Collected<Failure>,
    user: Option<String>,
}

impl Node {
    /// Starts a bus with these options, and records what it reports. An `on_failure` hook of the builder
    /// is replaced.
    ///
    /// All functions of this crate that start nodes register the functions marked `#[tidings::on]`. To
    /// switch that off, or to give them their state, use this one:
    ///
    /// ```
    /// use tidings::Bus;
    /// use tidings_testkit::{Node, memory_url};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let node = Node::start(Bus::builder(&memory_url()).auto_register(false)).await;
    /// # assert!(node.gaps().all().is_empty());
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the bus does not start, with the reason.
    pub async fn start(builder: BusBuilder) -> Self {
        let (gaps, failures) = (Collected::default(), Collected::default());
        let (gaps_of_bus, failures_of_bus) = (gaps.clone(), failures.clone());
        let builder = builder
            .on_failure(move |failure| failures_of_bus.push(failure))
            .on_gap(move |gap: Gap| {
                gaps_of_bus.push(gap);
                std::future::ready(())
            });
        let bus = match builder.start().await {
            Ok(bus) => bus,
            Err(error) => panic!("cannot start the bus: {}", tidings::report(&error)),
        };
        Self {
            bus,
            gaps,
            failures,
            user: None,
        }
    }

    /// Returns the gaps reported so far, and those to come.
    pub fn gaps(&self) -> &Collected<Gap> {
        &self.gaps
    }

    /// Returns the failures reported so far, and those to come.
    pub fn failures(&self) -> &Collected<Failure> {
        &self.failures
    }

    /// Collects the payloads of all events that are received under `event` from now on.
    ///
    /// # Panics
    ///
    /// If the handler cannot be registered, with the reason.
    pub fn collect<K, P>(&self, event: K) -> Collected<P>
    where
        K: ReceiveKey<P> + 'static,
        P: Debug + Send + Sync + 'static,
    {
        let collected = Collected::default();
        let payloads = collected.clone();
        let registered = self.bus.on(event, move |payload: P| {
            payloads.push(payload);
            std::future::ready(())
        });
        if let Err(error) = registered {
            panic!("cannot register a handler: {}", tidings::report(&error));
        }
        collected
    }

    /// Returns the bus, for a clone of it.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }
}

impl Deref for Node {
    type Target = Bus;

    fn deref(&self) -> &Bus {
        &self.bus
    }
}

/// The ACL rules that allow everything.
fn all_permissions(version: Version) -> &'static [&'static str] {
    if version >= Version::new(6, 2) {
        &["~*", "&*", "+@all"]
    } else {
        // Every user may use every channel, and a rule for channels is an error.
        &["~*", "+@all"]
    }
}

/// # Nodes
impl Redis {
    /// Starts a node with an ACL user of its own, so that it can be [cut off](Self::cut_off).
    ///
    /// # Panics
    ///
    /// If it does not start, with the reason.
    pub async fn node(&self) -> Node {
        self.node_with(|builder| builder).await
    }

    /// Like [`node`](Self::node), with further options.
    ///
    /// # Panics
    ///
    /// If it does not start, with the reason.
    pub async fn node_with(&self, describe: impl FnOnce(BusBuilder) -> BusBuilder) -> Node {
        static NODES: AtomicU64 = AtomicU64::new(1);
        let user = format!("node-{}", NODES.fetch_add(1, Ordering::Relaxed));
        let password = format!(">{PASSWORD}");
        let mut command = vec!["ACL", "SETUSER", &user, "on", &password];
        command.extend(all_permissions(self.version()));
        self.command(&command).await;
        let builder = describe(Bus::builder(&self.url_as(&user, PASSWORD)));
        Node {
            user: Some(user),
            ..Node::start(builder).await
        }
    }

    /// Starts two nodes, one to send and one to receive.
    ///
    /// # Panics
    ///
    /// If they do not start, with the reason.
    pub async fn two_nodes(&self) -> (Node, Node) {
        (self.node().await, self.node().await)
    }

    /// Closes the connections of this node and rejects new ones; returns once the node has detected
    /// it.
    ///
    /// # Panics
    ///
    /// If the node was not started by [`node`](Self::node), or does not detect it within ten
    /// seconds.
    pub async fn cut_off(&self, node: &Node) {
        let user = node
            .user
            .as_deref()
            .expect("the node was started by `Redis::node`");
        self.command(&["ACL", "SETUSER", user, "off"]).await;
        self.command(&["CLIENT", "KILL", "USER", user]).await;
        until("the node detects that it is cut off", || {
            !node.health().is_ready()
        })
        .await;
    }

    /// Lets a node that was cut off reconnect; returns once it receives events again.
    ///
    /// # Panics
    ///
    /// If the node was not started by [`node`](Self::node), or does not reconnect within ten
    /// seconds.
    pub async fn restore(&self, node: &Node) {
        let user = node
            .user
            .as_deref()
            .expect("the node was started by `Redis::node`");
        self.command(&["ACL", "SETUSER", user, "on"]).await;
        until("the node reconnects", || node.health().is_ready()).await;
    }
}

/// # Nodes
impl Proxy {
    /// Starts a node on the server behind this proxy. Its first connection receives, its second one
    /// sends.
    ///
    /// # Panics
    ///
    /// If it does not start, with the reason.
    pub async fn node(&self) -> Node {
        Node::start(Bus::builder(&self.url())).await
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    crate::wait_for(what, crate::collected::DEADLINE, async || condition()).await;
}

/// Returns a `memory:` URL that no other test has.
pub fn memory_url() -> String {
    static URLS: AtomicU64 = AtomicU64::new(1);
    format!("memory:test-{}", URLS.fetch_add(1, Ordering::Relaxed))
}

/// Starts two nodes that share a `memory:` URL with no other test.
///
/// # Panics
///
/// If they do not start, with the reason.
pub async fn memory_nodes() -> (Node, Node) {
    let url = memory_url();
    (
        Node::start(Bus::builder(&url)).await,
        Node::start(Bus::builder(&url)).await,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_channels_is_set_only_in_versions_that_know_it() {
        for (version, is_given) in [
            (Version::new(6, 0), false),
            (Version::new(6, 2), true),
            (Version::new(8, 0), true),
        ] {
            assert_eq!(all_permissions(version).contains(&"&*"), is_given);
        }
    }
}
