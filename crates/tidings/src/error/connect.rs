//! Errors of an address and of a connection.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tidings_codec::Escaped;

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
    /// The source of the credentials failed: a closure given to
    /// [`BusBuilder::credentials`](crate::BusBuilder::credentials), or a password file.
    #[error("cannot get the credentials")]
    Credentials {
        /// The error of the source.
        source: Box<dyn Error + Send + Sync>,
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
