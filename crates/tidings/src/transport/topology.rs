//! The interface of topologies, which find the right server, and the connection to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending};
use redis::ConnectionAddr;
use tokio::time::timeout;

use crate::error::connect::ConnectError;
use crate::observe::health::TopologyKind;
use crate::transport::journal::{
    Appending, BLOCK, JournalConnected, JournalNode, JournalTransport,
};
use crate::transport::server::{Left, Server};
use crate::transport::{Connected, Transport};

/// The timeout of connecting to a server while there are other candidates: a sentinel may name a dead
/// server.
const CANDIDATE_TIMEOUT: Duration = Duration::from_secs(2);

/// Finds the right server, and watches that it stays the right one.
#[async_trait]
pub(crate) trait Topology: fmt::Debug + Send + Sync {
    fn kind(&self) -> TopologyKind;

    /// The candidates, the most likely first.
    async fn resolve(&self) -> Result<Vec<ConnectionAddr>, ConnectError>;

    /// Returns the reason once the server at `at` is not the right one any more.
    async fn check(&self, at: &ConnectionAddr) -> ConnectError;

    /// The known reason why a running attempt to connect has not ended yet.
    fn trouble(&self) -> Option<ConnectError> {
        None
    }

    /// Adds the address of the server to an error, if the user did not write it.
    fn blame(&self, _at: &ConnectionAddr, why: ConnectError) -> ConnectError {
        why
    }
}

/// A single server.
#[derive(Debug)]
pub(crate) struct Standalone {
    pub(crate) at: ConnectionAddr,
}

#[async_trait]
impl Topology for Standalone {
    fn kind(&self) -> TopologyKind {
        TopologyKind::Standalone
    }

    async fn resolve(&self) -> Result<Vec<ConnectionAddr>, ConnectError> {
        Ok(vec![self.at.clone()])
    }

    async fn check(&self, _at: &ConnectionAddr) -> ConnectError {
        pending().await
    }
}

/// The transport over the right server of a topology.
#[derive(Debug)]
pub(crate) struct Found {
    /// The address, as the user wrote it, without a password.
    pub(crate) address: String,
    pub(crate) topology: Arc<dyn Topology>,
    pub(crate) server: Server,
}

#[async_trait]
impl Transport for Found {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn topology(&self) -> TopologyKind {
        self.topology.kind()
    }

    async fn connect(&self) -> Result<Connected, ConnectError> {
        let connect = |at: ConnectionAddr| {
            let connecting = async move { self.server.connect(&at, self.left(&at)).await };
            connecting.boxed()
        };
        self.connect_by(connect).await
    }

    fn trouble(&self) -> Option<ConnectError> {
        self.topology.trouble()
    }
}

#[async_trait]
impl JournalTransport for Found {
    async fn connect_journal(
        &self,
        appending: Arc<Appending>,
    ) -> Result<JournalConnected, ConnectError> {
        let connect = |at: ConnectionAddr| {
            let journal = JournalNode {
                is_asking: false,
                block: BLOCK,
                redirect: Arc::new(|_| {}),
                appending: Arc::clone(&appending),
            };
            let left = (self.left(&at))();
            let connecting = async move { self.server.connect_journal(&at, left, journal).await };
            connecting.boxed()
        };
        self.connect_by(connect).await
    }
}

impl Found {
    /// Connects to the first candidate that can be used.
    async fn connect_by<'a, T>(
        &'a self,
        connect: impl Fn(ConnectionAddr) -> BoxFuture<'a, Result<T, ConnectError>> + Send,
    ) -> Result<T, ConnectError> {
        let mut first = None;
        let candidates = self.topology.resolve().await?;
        let last = candidates.len().saturating_sub(1);
        for (index, at) in candidates.into_iter().enumerate() {
            let limit = if index < last {
                CANDIDATE_TIMEOUT
            } else {
                Duration::MAX
            };
            let connecting = timeout(limit, connect(at.clone()));
            let connected = tokio::select! {
                connected = connecting => {
                    let connected = connected.unwrap_or(Err(ConnectError::timed_out("connecting")));
                    connected.map_err(|why| self.topology.blame(&at, why))
                }
                // The timeout alone would take seconds.
                why = self.topology.check(&at) => Err(why),
            };
            match connected {
                Ok(connected) => return Ok(connected),
                Err(why) => first = first.or(Some(why)),
            }
        }
        // The error of the likeliest candidate.
        Err(first.unwrap_or(ConnectError::Lost))
    }

    fn left(&self, at: &ConnectionAddr) -> Left {
        let (topology, at) = (Arc::clone(&self.topology), at.clone());
        Arc::new(move || {
            let (topology, at) = (Arc::clone(&topology), at.clone());
            Box::pin(async move { topology.check(&at).await })
        })
    }
}

#[cfg(test)]
mod tests {
    use redis::RedisConnectionInfo;
    use tokio::net::TcpListener;

    use super::*;
    use crate::namespace::Namespace;

    /// A server that is not the right one any more.
    #[derive(Debug)]
    struct MovedAway(ConnectionAddr);

    #[async_trait]
    impl Topology for MovedAway {
        fn kind(&self) -> TopologyKind {
            TopologyKind::Sentinel
        }

        async fn resolve(&self) -> Result<Vec<ConnectionAddr>, ConnectError> {
            Ok(vec![self.0.clone()])
        }

        async fn check(&self, _at: &ConnectionAddr) -> ConnectError {
            ConnectError::Moved {
                to: "10.0.0.2:6379".to_owned(),
            }
        }
    }

    #[tokio::test]
    async fn connecting_to_a_silent_server_ends_as_soon_as_the_master_has_moved() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let at = ConnectionAddr::Tcp("127.0.0.1".to_owned(), port);
        let namespace = Namespace::parse("shop").unwrap();
        let found = Found {
            address: "redis+sentinel://one/mymaster".to_owned(),
            topology: Arc::new(MovedAway(at)),
            server: Server::new(&RedisConnectionInfo::default(), None, None, &namespace),
        };

        let error = found.connect().await.err().expect("nobody answers");

        assert!(matches!(error, ConnectError::Moved { .. }), "{error:?}");
    }
}
