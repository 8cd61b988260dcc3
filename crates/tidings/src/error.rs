//! One error per verb: why a start, a registration, a send, a flush or a shutdown did not do what
//! was asked.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tidings_codec::{EncodeError, Escaped, NameError};

use crate::failure::{Fate, RUNTIME_ENDED};
use crate::members::MembersError;

/// An error and its causes in one line, for people: what could break the line is
/// [escaped](tidings_codec::Escaped).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let error = tidings::Bus::builder("memory:").start().await.unwrap_err();
/// assert_eq!(
///     tidings::report(&error).to_string(),
///     "`memory:` is not an address that tidings understands: it has no name: write `memory:name`",
/// );
/// # }
/// ```
pub fn report(error: &dyn Error) -> impl fmt::Display {
    Report(error)
}

struct Report<'a>(&'a dyn Error);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(self.0))?;
        match self.0.source() {
            Some(cause) => write!(f, ": {}", Report(cause)),
            None => Ok(()),
        }
    }
}

/// These errors often leave `main` by `?`, and what Rust prints then is their debug form: let it
/// be what a person wants to read.
macro_rules! debug_as_report {
    ($($error:ty)*) => { $(
        impl fmt::Debug for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", $crate::error::report(self))
            }
        }
    )* };
}

pub(crate) use debug_as_report;

debug_as_report! { OnError SendError StartError }

/// A handler asks for a state that the builder was not given.
#[derive(Debug, thiserror::Error)]
#[error("nobody gave a state of type `{state}`: call `.state(…)` on the builder")]
pub struct MissingState {
    pub(crate) state: &'static str,
}

/// Why a handler could not be registered.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum OnError {
    /// The bus is shut down.
    #[error("the bus is shut down")]
    Closed,
    /// The Tokio runtime that the bus was started on has ended, and the bus with it. A bus in a
    /// `static` needs a runtime that lives as long: each `#[tokio::test]` has one of its own.
    #[error("{RUNTIME_ENDED}")]
    RuntimeEnded,
    /// The event's name cannot travel.
    #[error("`{}` cannot be an event's name", Escaped(.event))]
    Name {
        /// The name.
        event: String,
        /// The rule that it breaks.
        source: NameError,
    },
    /// The name begins with `tidings.`: what travels so is for the buses themselves.
    #[error(
        "`{}` is for the buses themselves, as is every name that begins with `tidings.`",
        Escaped(.event)
    )]
    Reserved {
        /// The name.
        event: String,
    },
    /// The handler asks for a state that the builder was not given.
    #[error("the handler of `{event}` asks for something that is not there")]
    State {
        /// The event, or the type of the events.
        event: String,
        /// What is missing.
        source: MissingState,
    },
    /// Two event types claim one name with different payloads.
    #[error("`{event}` is claimed by two payload types, `{first}` and `{second}`")]
    Conflict {
        /// The name.
        event: String,
        /// The type that had it first.
        first: &'static str,
        /// The type that wants it too.
        second: &'static str,
    },
    /// A bound in [`Handling`](crate::Handling) is zero.
    #[error("the {what} of a handler cannot be zero")]
    Zero {
        /// Which one.
        what: &'static str,
    },
}

/// Why an event was not sent, or may not have been.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The bus is shut down.
    #[error("the bus is shut down")]
    Closed,
    /// The Tokio runtime that the bus was started on has ended, and the bus with it.
    #[error("{RUNTIME_ENDED}")]
    RuntimeEnded,
    /// The event's name cannot travel.
    #[error("`{}` cannot be an event's name", Escaped(.event))]
    Name {
        /// The name.
        event: String,
        /// The rule that it breaks.
        source: NameError,
    },
    /// The name begins with `tidings.`: what travels so is for the buses themselves.
    #[error(
        "`{}` is for the buses themselves, as is every name that begins with `tidings.`",
        Escaped(.event)
    )]
    Reserved {
        /// The name.
        event: String,
    },
    /// The payload cannot be written.
    #[error("cannot encode `{event}`")]
    Encode {
        /// The event's name.
        event: String,
        /// What serde says, or which limit of the wire it exceeds: 32 levels, 65,536 values.
        source: EncodeError,
    },
    /// The payload is larger than a frame may be.
    #[error("`{event}` takes {bytes} bytes, and a frame holds {limit}")]
    TooLarge {
        /// The event's name.
        event: String,
        /// How large the event is, encoded.
        bytes: usize,
        /// How large a frame may be.
        limit: usize,
    },
    /// Nobody is there to whom it was sent. Nothing was sent.
    #[error("nobody has {}, so `{event}` was not sent", Escaped(.to))]
    Nobody {
        /// The event's name.
        event: String,
        /// The id or the role that nobody has.
        to: String,
    },
    /// Who has the role is not known. Nothing was sent.
    #[error("`{event}` was not sent")]
    Members {
        /// The event's name.
        event: String,
        /// Why that is not known.
        source: MembersError,
    },
    /// Redis did not acknowledge it.
    #[error("`{event}` {fate}")]
    Fate {
        /// The event's name.
        event: String,
        /// What became of it.
        fate: Fate,
    },
}

impl SendError {
    /// Whether the event may have been published all the same. Sending it again could then make
    /// it be handled twice.
    pub fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::Fate {
                fate: Fate::Unknown(_),
                ..
            }
        )
    }
}

/// What became of something asked of Redis, other than a send.
pub(crate) struct Done<'a>(pub(crate) &'a Fate);

impl fmt::Display for Done<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Fate::NotSent(reason) => write!(f, "nothing was done: {reason}"),
            Fate::Unknown(reason) => write!(f, "it may or may not have been done: {reason}"),
        }
    }
}

/// Which of the fed events Redis did not take.
#[derive(Debug, thiserror::Error)]
#[error("{} fed events did not surely reach redis", self.count())]
pub struct FlushError {
    pub(crate) unsent: Vec<Unsent>,
    pub(crate) more: u64,
}

impl FlushError {
    /// How many events.
    pub fn count(&self) -> u64 {
        self.unsent.len() as u64 + self.more
    }

    /// The events in the order they were fed, the first 10,000 of them.
    pub fn unsent(&self) -> &[Unsent] {
        &self.unsent
    }
}

/// A fed event that Redis did not acknowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsent {
    /// The event's name.
    pub event: String,
    /// Its number, if it got one: an event is numbered when it leaves.
    pub number: Option<u64>,
    /// What became of it.
    pub fate: Fate,
}

/// Why a bus did not start.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It was started outside of a Tokio runtime, which has to drive it.
    #[error(
        "a bus is started within a tokio runtime (`#[tokio::main]` makes one), and here is none"
    )]
    NoRuntime,
    /// The address is not one.
    #[error("`{}` is not an address that tidings understands", Escaped(.url))]
    Url {
        /// The address's scheme, and where it was understood its hosts; never the rest, which may
        /// be a part of a password.
        url: String,
        /// What is wrong with it.
        source: UrlError,
    },
    /// The namespace cannot be part of a channel's name.
    #[error("`{}` cannot be a namespace", Escaped(.namespace))]
    Namespace {
        /// The namespace.
        namespace: String,
        /// The rule that it breaks.
        source: NameError,
    },
    /// The role cannot be one.
    #[error("`{}` cannot be a role", Escaped(.role))]
    Role {
        /// The role.
        role: String,
        /// The rule that it breaks.
        source: NameError,
    },
    /// A handler could not be registered.
    #[error("cannot register a handler given to the builder or marked `#[tidings::on]`")]
    Handler {
        /// What is wrong with it.
        #[from]
        source: OnError,
    },
    /// The bus could not be reached in time.
    #[error("cannot reach {} within {deadline:?}", Escaped(.address))]
    Unreachable {
        /// The address, without its password.
        address: String,
        /// How long it was tried.
        deadline: Duration,
        /// What happened at the last attempt.
        source: ConnectError,
    },
    /// It answers, and would never let this bus work: a wrong password, a forbidden channel.
    #[error("cannot use {}", Escaped(.address))]
    Refused {
        /// The address, without its password.
        address: String,
        /// What it said, and the cure where there is one.
        source: ConnectError,
    },
}

/// What is wrong with an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It has no scheme that a bus knows. What it has instead is not shown, as it may be a part of
    /// a password.
    #[error(
        "it does not begin with one of redis://, rediss://, unix://, redis+sentinel://, \
         rediss+sentinel://, memory:{}",
        Cure(*.hint)
    )]
    Scheme {
        /// What may have been meant.
        hint: Option<&'static str>,
    },
    /// The kind of address is known, and this version cannot use it yet.
    #[error("{what} is not supported by this version")]
    Unsupported {
        /// What it would need.
        what: &'static str,
    },
    /// It needs a part of tidings that this build does not have.
    #[error(
        "{what} needs the feature `{feature}` of the crate tidings, which this build is without"
    )]
    Feature {
        /// What it needs.
        what: &'static str,
        /// The feature that brings it.
        feature: &'static str,
    },
    /// It cannot be taken apart.
    #[error("{}", Escaped(.reason))]
    Malformed {
        /// Why.
        reason: String,
    },
}

pub(crate) const NODE_OF_CLUSTER: &str =
    "a node of a Redis Cluster, which tidings does not support yet";

/// Why a connection could not be made, or was given up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nothing answers there, or not in time.
    #[error("{doing}")]
    Io {
        /// What the connection was doing.
        doing: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// Redis answered with an error.
    #[error("{doing}: redis says `{}`{}", Escaped(.words), Cure(.cure.as_deref()))]
    Redis {
        /// What the connection was doing.
        doing: &'static str,
        /// Redis's words.
        words: String,
        /// What would cure it, where that is known.
        cure: Option<String>,
        /// Whether trying again cannot help.
        is_final: bool,
    },
    /// The two sides do not agree on TLS: a certificate that is not trusted, for example.
    #[error("{doing}: {}", Escaped(.problem))]
    Tls {
        /// What the connection was doing.
        doing: &'static str,
        /// What is wrong, and the cure where it is known.
        problem: String,
        /// What TLS or the system says.
        source: Box<dyn Error + Send + Sync>,
        /// Whether trying again cannot help.
        is_final: bool,
    },
    /// The server is a replica: what is published there does not reach everybody.
    #[error("the server is a {}, not a master", Escaped(.role))]
    Role {
        /// What `ROLE` says.
        role: String,
    },
    /// It was connected, and the connection ended.
    #[error("it ended, and the system does not say why")]
    Lost,
    /// Redis did not answer what was asked.
    #[error("redis did not answer for {silence:?}")]
    Unanswered {
        /// For how long.
        silence: Duration,
    },
    /// None of the sentinels names a master, or none that can be reached.
    #[error(
        "no sentinel names a master `{}` that can be reached ({})",
        Escaped(.master),
        Escaped(.said)
    )]
    Sentinels {
        /// The name of the master.
        master: String,
        /// What each of the sentinels said.
        said: String,
        /// Whether trying again cannot help: those that answer refuse this bus.
        is_final: bool,
    },
    /// The server that the sentinels name as the master cannot be used.
    #[error("the sentinels name {} as the master", Escaped(.server))]
    Named {
        /// Its host and port.
        server: String,
        /// Why it cannot be used.
        source: Box<ConnectError>,
    },
    /// The server is a node of a Redis Cluster.
    #[error(
        "the server is {}: use one that is not in cluster mode",
        NODE_OF_CLUSTER
    )]
    Cluster,
    /// The sentinels name another master: most of them do, or it says of itself that it is one.
    #[error("the master is at {} now", Escaped(.to))]
    Moved {
        /// Where it is.
        to: String,
    },
    /// What this bus published did not come back to it: it hears nothing, or hears through another
    /// server than it sends through.
    #[error("nothing of our own was heard for {silence:?}, although it was published")]
    Deaf {
        /// For how long.
        silence: Duration,
    },
}

impl ConnectError {
    pub(crate) fn timed_out(doing: &'static str) -> Self {
        Self::Io {
            doing,
            source: std::io::ErrorKind::TimedOut.into(),
        }
    }

    /// Whether trying again cannot help, such as with a wrong password or a certificate that is
    /// not trusted.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Redis { is_final, .. }
            | Self::Tls { is_final, .. }
            | Self::Sentinels { is_final, .. } => *is_final,
            Self::Named { source, .. } => source.is_final(),
            Self::Cluster => true,
            _ => false,
        }
    }
}

struct Cure<'a>(Option<&'a str>);

impl fmt::Display for Cure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |cure| write!(f, " ({cure})"))
    }
}

/// What a shutdown had to leave behind when its time was up.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "the time to shut down was up: {unhandled} events unhandled, {running} handlers still running, {unsent} events not acknowledged by redis"
)]
#[non_exhaustive]
pub struct ShutdownError {
    /// Events that waited in the queues of handlers.
    pub unhandled: u64,
    /// Handlers that were still running; they were dropped.
    pub running: u64,
    /// Events that were accepted for sending and not acknowledged by Redis.
    pub unsent: u64,
}
