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
//! Everything here panics when it cannot do its work, a missing `redis-server`
//! included: a test that cannot run has failed. It needs a Unix.

mod server;

mod builder;
mod start;

mod address;
mod port;
mod process;
mod wait;

pub use crate::builder::RedisBuilder;
pub use crate::port::free_port;
pub use crate::server::Redis;
pub use crate::wait::wait_for;
