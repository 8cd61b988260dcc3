//! Real Redis servers, faulty networks and ready buses for tests of programs that use tidings.
//!
//! [`Redis::start`] starts a `redis-server` for one test, on its own port and in its own directory.
//! The server ends with the test, however the test ends. A test can kill it, freeze it, or close
//! its connections.
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
//! A [`Node`] is a bus that records every gap and failure it reports, so that a test can wait for
//! them:
//!
//! ```
//! use tidings_testkit::{Collected, Redis};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let redis = Redis::start().await;
//! let (sender, subscriber) = redis.two_nodes().await;
//! let ticks: Collected<u64> = subscriber.collect("tick");
//! sender.send_to_all("tick", &1).await.expect("redis is up");
//! ticks.wait_for(|tick| *tick == 1).await;
//!
//! redis.cut_off(&subscriber).await;
//! sender.send_to_all("tick", &2).await.expect("redis is up");
//! redis.restore(&subscriber).await;
//! sender.send_to_all("tick", &3).await.expect("redis is up");
//!
//! let missed = subscriber.gaps().wait_for(|gap| gap.sender == Some(sender.id())).await;
//! assert_eq!(missed.missed, Some(1));
//! # }
//! ```
//!
//! A [`Proxy`] stands between a client and a server and adds network faults: it delays, drops, cuts
//! and resets, for one connection or for all. [`Sentinels`] are a master, two replicas and three
//! sentinels with real failovers, and a [`Cluster`] is a Redis Cluster with failovers, slots that move
//! and a network that can be cut. [`context`] and [`gap`] build the arguments of handlers for unit
//! tests.
//!
//! `TIDINGS_SERVER` names the program of all servers instead of `redis-server`: another version, or
//! `valkey-server`.
//!
//! With the feature `schema`, `contract!` compares the contract of a program with a file.
//!
//! All functions panic on errors, also on a missing `redis-server`: a test that cannot run has
//! failed. The crate needs a Unix.

#[cfg(not(unix))]
compile_error!("the test kit needs Unix: it stops and continues servers with signals");

mod cluster;
mod collected;
#[cfg(feature = "schema")]
mod contract;
mod data_loss;
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
pub use crate::cluster::{Cluster, ClusterBuilder, SlotMove};
pub use crate::collected::Collected;
#[cfg(feature = "schema")]
#[doc(hidden)]
pub use crate::contract::{Package, check_contract};
pub use crate::handler_input::{ContextBuilder, context, gap};
pub use crate::node::{Node, memory_nodes, memory_url};
pub use crate::port::free_port;
pub use crate::proxy::{Direction, Fault, Proxy};
pub use crate::sentinels::{Sentinels, SentinelsBuilder};
pub use crate::server::Redis;
pub use crate::tls::Certificate;
pub use crate::wait::wait_for;
