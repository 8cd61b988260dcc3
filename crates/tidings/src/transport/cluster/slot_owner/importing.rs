//! Requests on keys that have already left their node while the slot moves.

use std::io;
use std::time::Duration;

use futures_util::future::join;
use redis::{RedisError, RedisResult, Value};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::error::report;
use crate::keyspace::redis::{ConnectionNumber, KeyRequest, NoAnswer, connection_number};
use crate::resp::Client;
use crate::transport::address::{Place, address_of, shown};
use crate::transport::cluster::finder::Finder;
use crate::transport::cluster::redirect::Redirect;
use crate::transport::server::redis_connection::driving;

/// The limit for the answer to a request that was sent. A node that is silent for longer is asked over
/// another connection.
const ANSWER: Duration = Duration::from_secs(2);

/// The connection to the node that the slot moves to.
pub(super) struct Importing {
    number: ConnectionNumber,
    at: Place,
    client: Client,
    _driver: AbortOnDropHandle<()>,
}

/// The result of a request.
pub(super) enum Imported {
    /// The answer, and the number of the connection.
    Done(Value, ConnectionNumber),
    /// Nothing was changed, and a retry may help.
    NotYet(RedisError),
}

/// Runs a request on the node at `at`, if that can begin before the deadline. The caller has the only
/// access to the connection: `ASKING` counts for the next command.
pub(super) async fn run(
    importing: &mut Option<Importing>,
    finder: &Finder,
    at: Place,
    request: &KeyRequest,
    deadline: Instant,
) -> Result<Imported, NoAnswer> {
    // Taken out until it is ready: if the wait ends early, the next request gets another connection.
    let known = importing.take().filter(|known| known.at == at);
    let silent = |_| NoAnswer::NoServer(format!("{} does not answer", shown(&at)));
    let beginning = Importing::begin(known, finder, &at, request);
    let node = match timeout_at(deadline, beginning).await.map_err(silent)?? {
        Ok(node) => importing.insert(node),
        Err(error) => return Ok(Imported::NotYet(error)),
    };
    let answer = timeout(ANSWER, node.ask(request)).await;
    let answer = answer.unwrap_or_else(|_| {
        let late = io::Error::from(io::ErrorKind::TimedOut);
        Err(NoAnswer::Error(late.into()))
    });
    if matches!(&answer, Err(NoAnswer::Error(error)) if error.is_io_error()) {
        *importing = None;
    }
    answer
}

impl Importing {
    /// Returns a connection on which the request can be sent as a single command, or the error of
    /// Redis.
    async fn begin(
        known: Option<Self>,
        finder: &Finder,
        at: &Place,
        request: &KeyRequest,
    ) -> Result<RedisResult<Self>, NoAnswer> {
        let node = match known {
            Some(known) => known,
            None => Self::connect(finder, at.clone()).await?,
        };
        // With a missing script, its second attempt would be without `ASKING`.
        Ok(request.prepare(&node.client).await.map(|()| node))
    }

    async fn connect(finder: &Finder, at: Place) -> Result<Self, NoAnswer> {
        let connecting = finder.server.send_line(&address_of(&at), None).await;
        let line = connecting.map_err(|why| NoAnswer::NoServer(report(&why).to_string()))?;
        Ok(Self {
            number: connection_number(),
            at,
            client: line.client,
            _driver: AbortOnDropHandle::new(tokio::spawn(driving(line.driver))),
        })
    }

    async fn ask(&self, request: &KeyRequest) -> Result<Imported, NoAnswer> {
        let allow = redis::cmd("ASKING");
        // Each is queued by its first poll, so that they are sent in this order.
        let (allowed, answer): (RedisResult<()>, _) =
            join(self.client.query(&allow), request.send(&self.client)).await;
        match answer {
            Ok(value) => Ok(Imported::Done(value, self.number)),
            Err(error) if Redirect::of(&error, &self.at).is_some() => {
                // Some hosted servers do not allow it: the move ends all the same.
                Ok(Imported::NotYet(allowed.err().unwrap_or(error)))
            }
            Err(error) => Err(NoAnswer::Error(error)),
        }
    }
}
