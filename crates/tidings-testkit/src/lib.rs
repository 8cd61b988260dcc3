//! Real Redis servers for the tests of programs that use tidings.
//!
//! [`Redis::start`] starts a `redis-server` for one test: on a port of its
//! own, in a directory of its own, and gone when the test is over, however it
//! ends. Then the test does to it what the world does to servers: kills it,
//! freezes it, cuts its connections.
//!
//! ```
//! use tidings_testkit::Redis;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mut redis = Redis::start().await;
//! redis.command(&["SET", "colour", "green"]).await;
//! assert_eq!(redis.cli(&["GET", "colour"]).await, "green");
//!
//! redis.restart().await; // on the same port, and empty: nothing is saved
//! assert_eq!(redis.cli(&["EXISTS", "colour"]).await, "0");
//! # }
//! ```
//!
//! A [`Node`] is a bus that keeps every gap and failure it reports, so that a
//! test can wait for them:
//!
//! ```
//! use tidings_testkit::{Collected, Redis};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let redis = Redis::start().await;
//! let (sender, hearer) = redis.two_nodes().await;
//! let ticks: Collected<u64> = hearer.collect("tick");
//! sender.send_to_all("tick", &1).await.expect("redis is up");
//! ticks.wait_for(|tick| *tick == 1).await;
//!
//! redis.cut_off(&hearer).await;
//! sender.send_to_all("tick", &2).await.expect("redis is up");
//! redis.restore(&hearer).await;
//! sender.send_to_all("tick", &3).await.expect("redis is up");
//!
//! let missed = hearer.gaps().wait_for(|gap| gap.from == Some(sender.id())).await;
//! assert_eq!(missed.missed, Some(1));
//! # }
//! ```
//!
//! A [`Proxy`] stands before a server and does what networks do: it delays,
//! loses, cuts and resets, for one connection or for all. [`Sentinels`] are a
//! master, two replicas and three sentinels, with failovers as they really are.
//!
//! Everything here panics when it cannot do its work, a missing `redis-server`
//! included: a test that cannot run has failed. It needs a Unix.

mod collected;
mod handler_input;
mod node;
mod proxy;
mod replication;
mod sentinels;
mod server;

mod builder;
mod start;

mod address;
mod port;
mod process;
mod tls;
mod version;
mod wait;

pub use crate::builder::RedisBuilder;
pub use crate::collected::Collected;
pub use crate::handler_input::{ContextBuilder, context, gap};
pub use crate::node::{Node, memory_nodes, memory_url};
pub use crate::port::free_port;
pub use crate::proxy::{Direction, Fault, Proxy};
pub use crate::sentinels::{Sentinels, SentinelsBuilder};
pub use crate::server::Redis;
pub use crate::tls::Certificate;
pub use crate::wait::wait_for;
