//! The Redis servers behind an address, for operators: their roles, lag, memory and
//! settings, and planned failovers.
//! Needs the feature `admin`.
//!
//! ```no_run
//! use tidings::prelude::*;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
//! let admin = Bus::builder("redis+sentinel://10.0.0.1,10.0.0.2/mymaster").namespace("shop").admin()?;
//! for server in admin.servers().await? {
//!     match &server.state {
//!         Ok(state) => println!("{}: {}, {:?} bytes used", server.address, state.role, state.used_memory),
//!         Err(why) => println!("{}: {}", server.address, tidings::report(why)),
//!     }
//! }
//! # Ok(()) }
//! ```

mod answers;
mod certificate;
mod cluster_nodes;
mod databases;
mod examine;
mod failover;
mod fields;
mod info;
mod key_count;
mod keys;
mod look;
mod permissions;
mod server;
mod settings;
mod stored;
mod view;

pub use crate::admin::answers::Denied;
pub use crate::admin::cluster_nodes::ClusterNode;
pub use crate::admin::failover::plan::FailoverPlan;
pub use crate::admin::failover::report::{FailoverError, FailoverReport, FailoverStep};
pub use crate::admin::fields::Fields;
pub use crate::admin::key_count::KeyCount;
pub use crate::admin::permissions::{MissingPermissions, Part};
pub use crate::admin::server::{Replication, SentinelState, Server, ServerRole, ServerState};
pub use crate::admin::settings::{AclUser, Settings};
pub use crate::admin::stored::{Stored, StoredKind, StoredName};
pub use crate::admin::view::Admin;
