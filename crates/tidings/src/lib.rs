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
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
//! let bus = Bus::builder("memory:demo").start().await?;     // or redis://127.0.0.1
//! bus.subscribe(|user: UserRenamed| async move { println!("{} is now {}", user.id, user.name) })?;
//! bus.on_gap(|gap: Gap| async move { println!("{gap}: reload from the database") })?;
//! bus.publish(&UserRenamed { id: 7, name: "Ada".into() }).await?;
//! bus.shutdown(std::time::Duration::from_secs(5)).await?;   // finish handlers and sends
//! # Ok(()) }
//! ```
//!
//! # Guarantees
//!
//! * Every connected process receives each event at most once, and the events of one sender in the
//!   order they were sent.
//! * A loss that can be detected is reported: [`Bus::on_gap`] receives the reason, and the count and
//!   the sender where they are known.
//! * A malformed frame, a payload of the wrong type, or a handler that fails or panics is reported
//!   to [`BusBuilder::on_failure`], and the next event is handled.
//! * A send returns Redis's answer, or an error that says whether the event may have been
//!   published.
//!
//! # Features
//!
//! All features are off by default.
//!
//! * `admin`: the module [`admin`], the servers behind an address for operators, and planned
//!   failovers.
//! * `metrics`: counters, gauges and histograms of a bus for the recorder of the `metrics` crate.
//! * `opentelemetry`: events carry the `tracing` span in which they were sent, as headers of the
//!   global propagator.
//! * `schema`: [`contract`](fn@contract), the JSON schemas of all events, for a file that says what
//!   changed.
//! * `tls`: `rediss:` addresses.

// From top to bottom: what people use …
#[cfg(feature = "admin")]
pub mod admin;
mod api;
mod handler;
mod macros;
// … what a bus consists of …
mod bus;
mod connection;
mod journal;
mod members;
mod request;
mod shared;
// … decisions without I/O …
mod receive;
mod send;
// … how Redis, or memory, is reached …
mod keyspace;
pub mod memory;
mod transport;
// … and what all of these may use.
pub mod acl;
mod error;
mod event;
mod namespace;
mod observe;
mod redis_error;
mod resp;
mod task;

pub use api::builder::BusBuilder;
pub use api::counter::Counter;
pub use api::journal::JournalHandle;
pub use api::request_builder::{Request, Response, Responses, SingleRequest};
pub use api::sending::{Receipt, Sending, SendingWithHeaders};
pub use api::tap::{Tap, TapOptions};
pub use api::tap_item::{TapItem, TappedEvent, Unreadable};
pub use bus::Bus;
pub use error::connect::{ConnectError, UrlError};
#[cfg(feature = "schema")]
pub use error::contract::ContractError;
pub use error::counter::CounterError;
pub use error::failure::{Failure, HandlerError, HandlerFailure};
pub use error::gap::{Gap, GapReason};
pub use error::header::HeaderError;
pub use error::journal::JournalError;
pub use error::members::MembersError;
pub use error::report;
pub use error::request::{RequestError, ResponseError};
pub use error::send::{FlushError, SendError, Undelivered};
pub use error::send_failure::{SendFailure, Unconfirmed};
pub use error::shared::{GetOrLoadError, LoadError, SharedError, StoreError};
pub use error::shutdown::ShutdownError;
pub use error::start::StartError;
pub use error::subscribe::{MissingState, SubscribeError};
pub use event::position::{JournalPosition, ParseJournalPositionError};
pub use event::sender::Sender;
pub use event::{Event, EventKey, Names, Unknown};
pub use handler::context::{Context, FromContext, State};
#[cfg(feature = "schema")]
pub use handler::contract::{Contract, contract};
pub use handler::key::{AllEvents, EventPayload, ReceiveKey, SendKey, StreamKey};
pub use handler::stream::EventStream;
pub use handler::{Handler, Outcome};
pub use journal::access::{DurableName, JournalInfo};
pub use journal::options::{Journal, Since};
pub use macros::{Event, counter, debug_handler, map, on, shared};
pub use members::member::Member;
pub use members::watch::{LeaveReason, MemberEvent, MemberWatch};
pub use observe::connection::Connection;
pub use observe::health::{Health, HealthWatch, TopologyKind};
pub use observe::inspection::{
    FailureInspection, GapInspection, HandlerInspection, HealthInspection, Inspection,
};
pub use observe::journal::{DurableHealth, DurableRole, JournalHealth};
pub use receive::queue::Overflow;
pub use receive::subscription::{HandlerOptions, Subscription};
pub use request::summary::{Responder, Summary};
#[cfg(feature = "schema")]
pub use schemars;
pub use shared::map::SharedMap;
pub use shared::map::options::MapOptions;
pub use shared::map::page::MapPage;
pub use shared::map::watch::{EntryState, EntryWatch, MapWatch};
pub use shared::map::watchers::MapChange;
pub use shared::options::Shareable;
pub use shared::options::{SharedOptions, WhenLost};
pub use shared::snapshot::{Freshness, Snapshot};
pub use shared::value::Shared;
pub use shared::watch::SharedWatch;
pub use task::watch::Watch;
pub use tidings_codec as codec;
pub use tidings_codec::{Format, NodeId};
pub use transport::credentials::Credentials;
pub use transport::tls::Tls;

/// The items that most programs need: the bus and its parts, the derive of events, and serde's
/// `Serialize` and `Deserialize`.
pub mod prelude {
    pub use serde::{Deserialize, Serialize};

    pub use crate::{
        Bus, Context, Event, Failure, Format, Gap, Handler, HandlerError, HandlerOptions, Overflow,
        State, Unknown,
    };
}

/// Support for code that the macros generate. Not part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use serde;

    pub use crate::event::schema::Declarations;
    #[cfg(feature = "schema")]
    pub use crate::event::schema::{
        Declared, DeclaredHandler, DeclaredResponse, KnownResponse, KnownSchema, NoResponse,
        NoSchema, SchemaProbe, UnknownResponse,
    };
    pub use crate::handler::collected::Collected;
    #[cfg(feature = "schema")]
    pub use crate::handler::contract::{Collect, event_names};
    pub use crate::macros::support::{
        Probe, ProbeAny, ProbeEvent, ProbeSerde, SerdePayload, decode_other, handler0, handler1,
        handler2, handler3, handler4, on0, on1, on2, on3, on4, unknown_name,
    };
}
