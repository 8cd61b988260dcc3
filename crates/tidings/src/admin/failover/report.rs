//! The steps, the result and the errors of a planned failover.

use std::fmt;
use std::time::Duration;

use tidings_codec::Escaped;

use crate::error::connect::{ConnectError, in_parentheses};
use crate::error::debug_as_report;

debug_as_report! { FailoverError }

/// A step of a planned failover, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailoverStep {
    /// The sentinels know that they should promote this replica. Only with several replicas.
    Preferred,
    /// The master and the replica accept no writes.
    Paused,
    /// The replica has all writes of the master, and the subscribers have all events.
    CaughtUp,
    /// The replica is the master, and the sentinels or nodes name it.
    Switched,
    /// The subscribers are connected to the new master.
    Followed,
    /// The new master accepts writes.
    Resumed,
}

/// The result of a planned failover.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailoverReport {
    /// The steps, each with the time from the pause of writes to its end. The step before the pause
    /// has the time that it took.
    pub steps: Vec<(FailoverStep, Duration)>,
    /// The subscribers of the namespace before, on the servers that changed their roles. `None` if
    /// the failover does not move subscribers: in a cluster with classic pub/sub.
    pub subscribers: Option<u64>,
    /// The number of them that were connected to the new master when it accepted writes again. Others
    /// may have missed events.
    pub followed: Option<u64>,
    /// The steps that failed after the replica had become the master, each with its cure: events may be
    /// lost, or a setting is not put back. Empty as a rule.
    pub problems: Vec<String>,
}

/// An error of a planned failover.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum FailoverError {
    /// There is one server, and so no replica that others could find.
    #[error(
        "a single server cannot hand over: a failover needs sentinels (`redis+sentinel://…`) or a \
         cluster (`redis+cluster://…`)"
    )]
    Standalone,
    /// No sentinel and no node of the cluster answers.
    #[error("cannot find the servers")]
    Unreachable {
        /// The reason.
        #[from]
        source: ConnectError,
    },
    /// The server is none of the topology.
    #[error("`{}` is not one of the replicas: {}", Escaped(.to), Escaped(.replicas))]
    NoSuchReplica {
        /// The server that was asked for.
        to: String,
        /// The replicas.
        replicas: String,
    },
    /// The server cannot become the master.
    #[error("{} cannot become the master: {}", Escaped(.to), Escaped(.why))]
    NotReady {
        /// The server.
        to: String,
        /// The reason.
        why: String,
    },
    /// A sentinel names another master than at the time of the plan.
    #[error("{} is no longer the master ({} is): plan again", Escaped(.from), Escaped(.master))]
    MasterChanged {
        /// The master of the plan.
        from: String,
        /// The master that the sentinels name.
        master: String,
    },
    /// The failover was cancelled before it began. The master is the same, and accepts writes.
    #[error("the failover was cancelled: nothing was changed")]
    Cancelled,
    /// A server rejected a step. The master is the same, and accepts writes.
    #[error("cannot {doing} on {}: nothing was changed", Escaped(.server))]
    Rejected {
        /// The step.
        doing: &'static str,
        /// The server.
        server: String,
        /// The error.
        source: ConnectError,
    },
    /// The replica did not receive all writes in time. The master is the same, and accepts writes.
    #[error(
        "{} did not receive all writes within {limit:?}: nothing was changed",
        Escaped(.to)
    )]
    NotCaughtUp {
        /// The replica.
        to: String,
        /// The time that it had.
        limit: Duration,
    },
    /// The sentinels made another replica the master. The old master is its replica now.
    #[error(
        "the sentinels have made {} the master, not {}{}",
        Escaped(.master),
        Escaped(.to),
        in_parentheses(.problem.as_deref())
    )]
    OtherPromoted {
        /// The replica that should have become the master.
        to: String,
        /// The new master.
        master: String,
        /// The step that failed then, if one did: events may be lost.
        problem: Option<String>,
    },
    /// The failover failed, and the `replica-priority` of the replica could not be put back.
    #[error("{}", Escaped(.problem))]
    NotRestored {
        /// The replica, its old priority and the reason.
        problem: String,
        /// The reason why the failover failed.
        source: Box<FailoverError>,
    },
    /// The failover began, and the replica did not become the master in time. It still may.
    #[error(
        "{} has not become the master within {limit:?}, and still may: look at the servers",
        Escaped(.to)
    )]
    NotSwitched {
        /// The replica.
        to: String,
        /// The time that it had.
        limit: Duration,
    },
}

impl FailoverError {
    /// Returns `true` if the replica may still become the master.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::NotSwitched { .. } => true,
            Self::NotRestored { source, .. } => source.is_unknown(),
            _ => false,
        }
    }
}

impl fmt::Display for FailoverStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Preferred => "replica preferred",
            Self::Paused => "writes paused",
            Self::CaughtUp => "replica has all",
            Self::Switched => "replica is the master",
            Self::Followed => "subscribers followed",
            Self::Resumed => "writes resumed",
        })
    }
}
