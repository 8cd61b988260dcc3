//! The first connection of a bus.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tidings_codec::NodeId;
use tokio::time::{Instant, sleep, timeout_at};

use crate::connection::outage::Outage;
use crate::error::connect::ConnectError;
use crate::error::report;
use crate::error::start::StartError;
use crate::namespace::Namespace;
use crate::task::backoff::Delays;
use crate::transport::Transport;

/// Connects for the first time by `connect`: retries until Redis accepts, rejects for good, or
/// `timeout` passes. `server` is the address of the server, for logs.
pub(crate) async fn connect<'a, T>(
    transport: &dyn Transport,
    (node, namespace): (NodeId, &Namespace),
    timeout: Option<Duration>,
    connect: impl Fn() -> BoxFuture<'a, Result<T, ConnectError>> + Send,
    server: impl Fn(&T) -> &str + Send,
) -> Result<T, StartError> {
    let address = transport.address();
    let deadline = timeout.map(|timeout| (timeout, Instant::now() + timeout));
    let mut last = ConnectError::timed_out("connecting");
    let mut outage = Outage::since(Instant::now());
    let mut delays = Delays::new();
    loop {
        let delay = delays.next();
        let attempt = async {
            let connecting = connect();
            match deadline {
                Some((_, deadline)) => timeout_at(deadline, connecting).await.ok(),
                None => Some(connecting.await),
            }
        };
        match attempt.await {
            Some(Ok(connected)) => {
                tracing::info!(
                    node = %node,
                    namespace = namespace.name(),
                    address,
                    server = server(&connected),
                    "connected"
                );
                return Ok(connected);
            }
            Some(Err(source)) if source.is_final() => {
                return Err(StartError::Refused { address, source });
            }
            Some(Err(source)) => last = source,
            None => last = transport.trouble().unwrap_or(last),
        }
        if let Some(lasts) = outage.warning(Instant::now()) {
            tracing::warn!(
                node = %node,
                namespace = namespace.name(),
                address,
                ?lasts,
                why = %report(&last),
                "cannot connect yet, trying again"
            );
        }
        if let Some((timeout, deadline)) = deadline
            && Instant::now() + delay >= deadline
        {
            return Err(StartError::Unreachable {
                address,
                deadline: timeout,
                source: last,
            });
        }
        sleep(delay).await;
    }
}
