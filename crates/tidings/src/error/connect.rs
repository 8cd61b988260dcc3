//! Errors of an address and of a connection.

use std::error::Error;
use std::time::Duration;

use tidings_codec::Escaped;

/// The error of an address that is not valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is not known. It is not shown, because it may be a part of a password.
    #[error(
        "it does not begin with one of redis://, rediss://, unix://, redis+sentinel://, \
         rediss+sentinel://, redis+cluster://, rediss+cluster://, memory:{}",
        in_parentheses(*.hint)
    )]
    Scheme {
        /// A hint at what may have been meant.
        hint: Option<&'static str>,
    },
    /// The address needs a feature of tidings that this build does not have.
    #[error(
        "{what} needs the feature `{feature}` of the crate tidings, which is off in this build"
    )]
    Feature {
        /// The part that needs the feature.
        what: &'static str,
        /// The name of the feature.
        feature: &'static str,
    },
    /// The address cannot be parsed.
    #[error("{}", Escaped(.reason))]
    Malformed {
        /// The reason, and the form that is expected.
        reason: String,
    },
}

/// The error of a connection that could not be made, or was lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The connection failed, or timed out.
    #[error("{doing}")]
    Io {
        /// The step that failed.
        doing: &'static str,
        /// The error of the system.
        source: std::io::Error,
    },
    /// Redis answered with an error.
    #[error("{doing}: redis says `{}`{}", Escaped(.words), in_parentheses(.cure.as_deref()))]
    Redis {
        /// The step that failed.
        doing: &'static str,
        /// The error of Redis.
        words: String,
        /// The cure, where it is known.
        cure: Option<String>,
        /// True if trying again cannot help.
        is_final: bool,
    },
    /// Redis answered that the user lacks a permission.
    #[error("{doing}: redis says `{}` ({cure})", Escaped(.words))]
    Denied {
        /// The step that failed.
        doing: &'static str,
        /// The error of Redis.
        words: String,
        /// The command that grants the permission.
        cure: String,
    },
    /// TLS failed, for example for a certificate that is not trusted.
    #[error("{doing}: {}", Escaped(.problem))]
    Tls {
        /// The step that failed.
        doing: &'static str,
        /// The problem, and what to do about it where that is known.
        problem: String,
        /// The error of TLS or of the system.
        source: Box<dyn Error + Send + Sync>,
        /// True if trying again cannot help.
        is_final: bool,
    },
    /// The source of the credentials failed: a closure given to
    /// [`BusBuilder::credentials`](crate::BusBuilder::credentials), or a password file.
    #[error("cannot get the credentials")]
    Credentials {
        /// The error of the source.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server is no master: an event published there does not reach all subscribers.
    #[error("the server is a {}, not a master", Escaped(.role))]
    Role {
        /// The role that the server returned.
        role: String,
    },
    /// The connection was closed, and the system has no reason.
    #[error("the connection was closed without a reason")]
    Lost,
    /// Redis did not answer in time.
    #[error("redis did not answer for {silence:?}")]
    Unanswered {
        /// The time since its last answer.
        silence: Duration,
    },
    /// No sentinel names a master, or none that can be reached.
    #[error(
        "no sentinel names a master `{}` that can be reached ({})",
        Escaped(.master),
        Escaped(.said)
    )]
    Sentinels {
        /// The name of the master.
        master: String,
        /// The answer of each sentinel.
        said: String,
        /// True if trying again cannot help: all sentinels that answer reject this bus.
        is_final: bool,
    },
    /// The server that the sentinels name as the master cannot be used.
    #[error("the sentinels name {} as the master", Escaped(.server))]
    Named {
        /// Its host and port.
        server: String,
        /// The reason.
        source: Box<ConnectError>,
    },
    /// The server is of another kind than the address says, such as a node of a Redis Cluster.
    #[error("{} is {is}: write `{}`", Escaped(.server), Escaped(.write))]
    WrongScheme {
        /// Its host and port.
        server: String,
        /// The kind of server that it is.
        is: &'static str,
        /// The address to write, without a login and options.
        write: String,
    },
    /// No node of a Redis Cluster can be used.
    #[error("no node of the cluster can be used ({})", Escaped(.said))]
    Nodes {
        /// The answer of each node that was asked.
        said: String,
        /// True if trying again cannot help: all nodes that answer reject this bus.
        is_final: bool,
    },
    /// No node of a Redis Cluster has these slots, so that it accepts no commands on keys.
    #[error("the cluster is down: no node has {} ({})", Escaped(.slots), Escaped(.said))]
    Uncovered {
        /// The slots.
        slots: String,
        /// The answer of each node that was asked.
        said: String,
    },
    /// The node of a Redis Cluster that has the keys of the namespace cannot be used.
    #[error(
        "cannot use the node that has the keys of the namespace: {} ({})",
        Escaped(.why),
        Escaped(.said)
    )]
    Owner {
        /// The node, and the reason.
        why: String,
        /// The answer of each node that was asked.
        said: String,
    },
    /// A node of a Redis Cluster is cut off: it reports that the cluster is down, and others report
    /// that it is not.
    #[error("{} is cut off from the other nodes of the cluster", Escaped(.server))]
    CutOff {
        /// Its host and port.
        server: String,
    },
    /// The node of a Redis Cluster passes the messages of the channel on no more: its slot has moved.
    #[error("the channel has left the node of the cluster")]
    ChannelMoved,
    /// The server does not have the journal of the namespace any more, or became a replica.
    #[error("the journal has left the server")]
    JournalMoved,
    /// A key of the journal is used by another program.
    #[error("{}", Escaped(.problem))]
    JournalKey {
        /// The key, and what it holds.
        problem: String,
    },
    /// The namespace has no journal, and the bus does not
    /// [create](crate::Journal::create) one.
    #[error("the namespace has no journal")]
    NoJournal,
    /// The server is older than Redis 6.2, and the bus has a journal.
    #[error("a journal needs redis 6.2 or newer, and this is version {}", Escaped(.version))]
    TooOld {
        /// The version of the server.
        version: String,
    },
    /// The sentinels name another master, as a majority, or it confirmed that it is the master.
    #[error("the master is at {} now", Escaped(.to))]
    Moved {
        /// The address of the new master.
        to: String,
    },
    /// The bus did not receive its own heartbeat: the receiving connection is dead, or is connected
    /// to another server than the sending one.
    #[error(
        "the bus has not received its own events for {silence:?}, although redis accepted them"
    )]
    NoEcho {
        /// The time since it received an own event last.
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

    /// Returns `true` if trying again cannot help, for example with a wrong password or a certificate
    /// that is not trusted.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Redis { is_final, .. }
            | Self::Tls { is_final, .. }
            | Self::Sentinels { is_final, .. }
            | Self::Nodes { is_final, .. } => *is_final,
            Self::Named { source, .. } => source.is_final(),
            Self::Denied { .. }
            | Self::WrongScheme { .. }
            | Self::TooOld { .. }
            | Self::JournalKey { .. }
            | Self::NoJournal => true,
            _ => false,
        }
    }

    /// Returns whether the user lacks a permission.
    pub(crate) fn is_denied(&self) -> bool {
        match self {
            Self::Denied { .. } => true,
            Self::Named { source, .. } => source.is_denied(),
            _ => false,
        }
    }

    /// Returns `true` if a server rejects this bus: for good, or until its credentials change.
    pub(crate) fn is_rejection(&self) -> bool {
        match self {
            Self::Redis { words, .. } => self.is_final() || is_wrong_login(words),
            Self::Named { source, .. } => source.is_rejection(),
            _ => self.is_final(),
        }
    }
}

/// Returns `true` if this error of Redis is about the user or the password.
pub(crate) fn is_wrong_login(words: &str) -> bool {
    words.contains("WRONGPASS") || words.contains("NOAUTH")
}

pub(crate) fn in_parentheses(cure: Option<&str>) -> String {
    cure.map_or_else(String::new, |cure| format!(" ({cure})"))
}
