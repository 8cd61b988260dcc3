//! Requests on keys that have already left their node while the slot moves.

use futures_util::future::join;
use redis::{RedisError, RedisResult, Value};
use tokio_util::task::AbortOnDropHandle;

use crate::error::report;
use crate::keyspace::redis::{ConnectionNumber, KeyRequest, NoAnswer, connection_number};
use crate::resp::Client;
use crate::transport::address::{Place, address_of};
use crate::transport::cluster::finder::Finder;
use crate::transport::cluster::redirect::Redirect;
use crate::transport::server::redis_connection::driving;

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

/// Runs a request on the node that is announced at `to`. The caller has the only access to the
/// connection: `ASKING` counts for the next command.
pub(super) async fn run(
    importing: &mut Option<Importing>,
    finder: &Finder,
    to: Place,
    request: &KeyRequest,
) -> Result<Imported, NoAnswer> {
    let at = finder.last().translated(&to);
    if importing.as_ref().is_none_or(|known| known.at != at) {
        *importing = None;
    }
    let node = match importing {
        Some(node) => node,
        None => importing.insert(Importing::connect(finder, at).await?),
    };
    // With a missing script, its second attempt would be without `ASKING`.
    if let Err(error) = request.prepare(&node.client).await {
        *importing = None;
        return Ok(Imported::NotYet(error));
    }
    let answer = node.ask(request).await;
    if matches!(&answer, Err(NoAnswer::Error(error)) if error.is_io_error()) {
        *importing = None;
    }
    answer
}

impl Importing {
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
