//! Typed events for every process you run, over the Redis that you already have.
//!
//! A service runs as many processes. When one of them changes something, the others must know: drop
//! this cache entry, reload the configuration, user 7 was renamed. tidings carries such typed
//! events to all of them, and tells each process when it may have missed one.
//!
//! ```
//! use tidings::prelude::*;
//!
//! #[derive(Debug, Serialize, Deserialize, Event)]
//! #[event("user.renamed")]
//! struct UserRenamed { id: u64, name: String }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bus = Bus::builder("memory:demo").start().await?;     // or redis://127.0.0.1
//! bus.subscribe(|user: UserRenamed| async move { println!("{} is now {}", user.id, user.name) })?;
//! bus.on_gap(|gap: Gap| async move { println!("{gap}: reload from the database") })?;
//! bus.publish(&UserRenamed { id: 7, name: "Ada".into() }).await?;
//! bus.shutdown(std::time::Duration::from_secs(5)).await?;   // finish handlers and sends
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! * Every connected process receives each event at most once, and the events of one sender in the
//!   order they were sent.
//! * Missed events are reported: [`Bus::on_gap`] receives how many, from which sender and why.
//! * A malformed frame, a payload of the wrong type, or a handler that fails or panics is reported
//!   to [`Builder::on_failure`], and the next event is handled.
//! * A send returns Redis's answer, or an error that says whether the event may have been
//!   published.
//!
//! # Features
//!
//! All features are off by default.
//!
//! * `metrics`: counters, gauges and histograms of a bus for the recorder of the `metrics` crate.
//! * `opentelemetry`: events carry the `tracing` span in which they were sent, as W3C trace
//!   context.
//! * `tls`: `rediss:` addresses.

// Reading order: what people use …
pub mod acl;
mod api;
mod ask;
mod builder;
mod bus;
mod context;
mod counter;
mod derived;
mod error;
mod event;
#[cfg(test)]
mod foreign_text;
mod handler;
mod key;
mod life;
mod macros;
mod members;
mod merged;
mod registry;
mod remembered;
mod sending;
mod shared;
mod stream;
mod subscription;
mod tls;
// … how an event is sent …
mod decoded;
mod echo;
mod given_up;
mod glance;
mod outgoing;
mod pace;
mod pending;
mod sender;
mod session;
// … how it is heard …
mod dispatch;
mod notices;
mod queue;
mod receiver;
mod reports;
mod room;
mod sequence;
mod table;
mod worker;
// … how the connection is kept …
mod keyspace;
mod link;
pub mod memory;
mod namespace;
mod outage;
mod redis_error;
mod transport;
// … what tasks are made of …
mod task;
// … and what others may see of all that.
mod observe;

pub use ask::{Answer, Answers, Asking, Summary, Who};
pub use builder::Builder;
pub use bus::Bus;
pub use context::{Context, FromContext, State};
pub use counter::Counter;
pub use error::connect::{ConnectError, UrlError};
pub use error::counter::CountError;
pub use error::failure::{Cause, Failure, HandlerError};
pub use error::gap::{Gap, GapReason};
pub use error::members::MembersError;
pub use error::report;
pub use error::request::{AnswerError, AskError};
pub use error::send::{FlushError, SendError, Unsent};
pub use error::send_failure::{Fate, Reason};
pub use error::shared::{LoadError, LoadOrError, ShareError, StoreError};
pub use error::shutdown::ShutdownError;
pub use error::start::StartError;
pub use error::subscribe::{MissingState, OnError};
pub use event::{Event, EventKey, Names, Unknown};
pub use handler::{Handler, Outcome};
pub use key::{EventPayload, HearKey, SendKey, StreamKey};
pub use macros::{Event, debug_handler, on};
pub use members::{Departure, Member, MemberEvent, MemberEvents};
pub use observe::health::{Connection, Health, HealthWatch, TopologyKind};
pub use queue::WhenFull;
pub use sending::{Receipt, Sending};
pub use shared::{
    Caching, Changes, EntryWatch, Freshness, Latest, MapChange, MapWatch, Shareable, Shared,
    SharedMap, Sharing, Snapshot, WhenLost,
};
pub use stream::EventStream;
pub use subscription::{Handling, Subscription};
pub use tidings_codec as codec;
pub use tidings_codec::{Format, NodeId};
pub use tls::Tls;

/// The items that most programs need: the bus and its parts, the derive of events, and serde's
/// `Serialize` and `Deserialize`.
pub mod prelude {
    pub use serde::{Deserialize, Serialize};

    pub use crate::{
        Bus, Context, Event, Failure, Format, Gap, Handler, HandlerError, Handling, State, Unknown,
        WhenFull,
    };
}

/// Support for code that the macros generate. Not part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use serde;

    pub use crate::derived::{
        Portable, Probe, ProbeAny, ProbeEvent, ProbeSerde, decode_other, handler0, handler1,
        handler2, handler3, handler4, on0, on1, on2, on3, on4, unclaimed,
    };
    pub use crate::registry::Collected;
}
