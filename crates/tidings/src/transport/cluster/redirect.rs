//! Answers that say that another node has the slot, or will have it soon. No I/O.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::transport::address::Place;
use crate::transport::cluster::nodes::place;

/// The reaction to an error that only a cluster gives. In each case nothing was changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    /// Ask the node at this address from now on.
    Moved(Place),
    /// Ask the node at this address once, after `ASKING`.
    Ask(Place),
    /// Ask again soon: the keys are on two nodes while the slot moves.
    Again,
    /// Look for the owner: the node is a replica now.
    Demoted,
    /// Look for the owner: the node is cut off, or the cluster is down.
    Down,
}

impl Redirect {
    /// Returns what to do after an error of the node at `asked`; `None` if the error is the answer.
    pub(super) fn of(error: &RedisError, asked: &Place) -> Option<Self> {
        use ServerErrorKind::{Ask, ClusterDown, Moved, ReadOnly, TryAgain};
        let to = || {
            let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
            Some(place(host, port.parse().ok()?, asked))
        };
        match error.kind() {
            ErrorKind::Server(Moved) => to().map(Self::Moved),
            ErrorKind::Server(Ask) => to().map(Self::Ask),
            ErrorKind::Server(TryAgain) => Some(Self::Again),
            ErrorKind::Server(ReadOnly) => Some(Self::Demoted),
            ErrorKind::Server(ClusterDown) => Some(Self::Down),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(answer: &str) -> Option<Redirect> {
        let answer = redis::parse_redis_value(answer.as_bytes());
        let error = answer.and_then(redis::Value::extract_error).unwrap_err();
        Redirect::of(&error, &("10.0.0.1".to_owned(), 6_379))
    }

    #[test]
    fn a_redirection_names_the_node_to_ask() {
        let at = |host: &str| (host.to_owned(), 6_381);
        for (answer, means) in [
            (
                "-MOVED 3999 10.0.0.2:6381\r\n",
                Some(Redirect::Moved(at("10.0.0.2"))),
            ),
            (
                "-ASK 3999 redis-2.example:6381\r\n",
                Some(Redirect::Ask(at("redis-2.example"))),
            ),
            (
                "-MOVED 3999 fd00::2:6381\r\n",
                Some(Redirect::Moved(at("fd00::2"))),
            ),
            // The host that was asked.
            (
                "-MOVED 3999 :6381\r\n",
                Some(Redirect::Moved(at("10.0.0.1"))),
            ),
            ("-ASK 3999 ?:6381\r\n", Some(Redirect::Ask(at("10.0.0.1")))),
            ("-MOVED 3999\r\n", None),
            ("-MOVED 3999 10.0.0.2:port\r\n", None),
        ] {
            assert_eq!(redirect(answer), means, "{answer}");
        }
    }

    #[test]
    fn an_error_that_ends_with_the_move_is_no_answer() {
        for (answer, means) in [
            (
                "-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
                Some(Redirect::Again),
            ),
            (
                "-READONLY You can't write against a read only replica.\r\n",
                Some(Redirect::Demoted),
            ),
            ("-CLUSTERDOWN The cluster is down\r\n", Some(Redirect::Down)),
            ("-WRONGTYPE Operation against a key\r\n", None),
            ("-NOPERM this user has no permissions\r\n", None),
            ("-LOADING Redis is loading the dataset in memory\r\n", None),
        ] {
            assert_eq!(redirect(answer), means, "{answer}");
        }
    }
}
