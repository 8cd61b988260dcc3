//! The connections to one server: one that only receives, and one that sends.

mod keepalive;
#[cfg(test)]
mod order;
mod race;
pub(crate) mod redis_connection;
pub(crate) mod role;
mod socket;
pub(crate) mod tcp;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(not(feature = "tls"))]
#[path = "server/tls/absent.rs"]
pub(crate) mod tls;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending};
use redis::{
    ConnectionAddr, ErrorKind, FromRedisValue, RedisConnectionInfo, RedisError, ServerErrorKind,
    Value,
};

use crate::acl::{Needs, Permissions};
use crate::error::connect::ConnectError;
use crate::keyspace::redis::RedisKeys;
use crate::namespace::Namespace;
use crate::redis_error::words;
use crate::resp::{Client, Driver, publish_head};
use crate::transport::credentials::CredentialSource;
use crate::transport::server::keepalive::Keepalive;
use crate::transport::server::redis_connection::{Access, RedisConnection, lost};
use crate::transport::server::role::{Hello, Role, ask_role, hello, shortcoming};
use crate::transport::server::tcp::Readiness;
use crate::transport::tls::Tls;
use crate::transport::{
    Backlog, PublishError, Publisher, ReceiveHalf, Reply, SendHalf, SendingAgain,
};

/// Connects to a server, to receive and to send.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    access: Access,
    channel: String,
    /// True once a warning was logged that the server is too old.
    has_warned: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn new(
        settings: &RedisConnectionInfo,
        tls: Option<Tls>,
        namespace: &Namespace,
    ) -> Self {
        let permissions = Permissions::of_everything(namespace, settings.db());
        Self {
            access: Access::new(settings, tls, permissions).of_masters(),
            has_warned: Arc::default(),
            channel: namespace.channel_in(settings.db()),
        }
    }

    /// Asks this source for the user and the password at each connect, if there is one.
    pub(crate) fn with_credentials(self, credentials: Option<CredentialSource>) -> Self {
        Self {
            access: self.access.with_credentials(credentials),
            ..self
        }
    }

    /// Formats the address of a server for logs.
    pub(crate) fn shown(&self, at: &ConnectionAddr) -> String {
        let scheme = self.access.scheme();
        match at {
            ConnectionAddr::Tcp(host, port) if host.contains(':') => {
                format!("{scheme}://[{host}]:{port}")
            }
            ConnectionAddr::Tcp(host, port) => format!("{scheme}://{host}:{port}"),
            ConnectionAddr::Unix(path) => format!("unix://{}", path.display()),
            other => other.to_string(),
        }
    }

    /// Connects both halves. Returns when the subscription is confirmed. `left` ends once the server
    /// is not the right one any more.
    pub(crate) async fn connect(
        &self,
        at: &ConnectionAddr,
        left: Left,
    ) -> Result<(Box<dyn ReceiveHalf>, SendHalf), ConnectError> {
        // First receive, then send: events that are sent before the subscription is confirmed would
        // not be received here.
        let receive_half = self.receive_half(at, left).await?;
        let sending = receive_half.place.sending().await?;
        Ok((Box::new(receive_half), sending))
    }

    /// Returns true if the server reports to be a master; false if it may not be asked.
    pub(crate) async fn is_master(&self, at: &ConnectionAddr) -> bool {
        let doing = "asking for the role";
        let opened = self.access.open(at, None, doing, Readiness::new()).await;
        opened.is_ok_and(|line| line.role == Role::Master)
    }

    async fn receive_half(
        &self,
        at: &ConnectionAddr,
        left: Left,
    ) -> Result<RedisReceiveHalf, ConnectError> {
        let watch = Readiness::new();
        let doing = "connecting to receive";
        let mut line = self.access.open(at, None, doing, watch.clone()).await?;
        let doing = "subscribing";
        line.driver.follow(&self.channel);
        let mut subscribe = redis::cmd("SUBSCRIBE");
        subscribe.arg(&self.channel);
        let _: Value = line
            .ask(doing, async |line| subscribe.query_async(line).await)
            .await?
            .map_err(|error| line.access.explain(doing, &error))?;
        let place = Place {
            server: self.clone(),
            at: at.clone(),
            peer: line.peer,
            left,
        };
        Ok(RedisReceiveHalf {
            line,
            watch,
            place,
            keepalive: Keepalive::new(),
        })
    }

    /// Connects the send half, to the address that the receive half has reached: the other addresses
    /// of the name may be those of other servers.
    async fn sending(
        &self,
        at: &ConnectionAddr,
        peer: Option<SocketAddr>,
    ) -> Result<SendHalf, ConnectError> {
        let doing = "connecting to send";
        let line = self.access.open(at, peer, doing, Readiness::new()).await?;
        self.warn_of_age(at, line.version.as_deref());
        let hides_role = line.role == Role::Hidden;
        if hides_role {
            tracing::warn!(
                server = self.shown(at),
                "cannot check that the server is the master: the user may not run ROLE \
                 (`+role` allows it)"
            );
        }
        let server = Self {
            access: line.access,
            ..self.clone()
        };
        Ok(server.sending_over(line.client, line.driver, hides_role))
    }

    /// Warns once about a server that is too old.
    fn warn_of_age(&self, at: &ConnectionAddr, version: Option<&str>) {
        let Some(version) = version else {
            return;
        };
        if let Some(shortcoming) = shortcoming(version)
            && !self.has_warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(server = self.shown(at), version = ?version, "{shortcoming}");
        }
    }

    /// Returns the send half over a connection.
    pub(super) fn sending_over(
        &self,
        client: Client,
        mut driver: Driver,
        hides_role: bool,
    ) -> SendHalf {
        let keyspace = RedisKeys {
            client: client.limited(),
            channel: self.channel.clone(),
            needs: Arc::clone(&self.access.needs),
        };
        let publisher = RedisSendHalf {
            client,
            head: publish_head(&self.channel),
            needs: Arc::clone(&self.access.needs),
            hides_role: Arc::new(AtomicBool::new(hides_role)),
        };
        SendHalf {
            publisher: Box::new(publisher),
            driver: Box::pin(poll_fn(move |cx| driver.poll(cx))),
            left: pending().boxed(),
            keyspace: Arc::new(keyspace),
            is_unproven: false,
        }
    }
}

/// Returns the reason once the server is not the right one any more.
pub(crate) type Left = Arc<dyn Fn() -> BoxFuture<'static, ConnectError> + Send + Sync>;

/// The server that a receive half is connected to, for its send half.
#[derive(Clone)]
struct Place {
    server: Server,
    at: ConnectionAddr,
    peer: Option<SocketAddr>,
    left: Left,
}

impl Place {
    async fn sending(&self) -> Result<SendHalf, ConnectError> {
        let mut sending = self.server.sending(&self.at, self.peer).await?;
        sending.left = (self.left)();
        Ok(sending)
    }
}

struct RedisReceiveHalf {
    line: RedisConnection,
    watch: Readiness,
    place: Place,
    keepalive: Keepalive,
}

#[async_trait]
impl ReceiveHalf for RedisReceiveHalf {
    async fn receive(&mut self, frames: &mut Vec<Bytes>) -> Result<(), ConnectError> {
        poll_fn(|cx| {
            match self.line.driver.poll_frames(cx, frames) {
                Poll::Ready(true) => Poll::Ready(Ok(())),
                Poll::Ready(false) => Poll::Ready(Err(lost(&self.line.client, "receiving"))),
                Poll::Pending => {
                    // It wakes the driver, which writes it.
                    self.keepalive.poll(&self.line.client, cx);
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn set_watched(&mut self, is_watched: bool) {
        self.watch.set(is_watched);
    }

    fn set_keepalive(&mut self, every: Duration) {
        self.keepalive.set(every);
    }

    fn quiet(&self) -> Option<Duration> {
        Some(self.keepalive.sent.elapsed())
    }

    fn sending_again(&self) -> Option<SendingAgain> {
        let place = self.place.clone();
        Some(Box::pin(async move { place.sending().await }))
    }
}

struct RedisSendHalf {
    client: Client,
    /// The start of each command.
    head: Vec<u8>,
    needs: Arc<Needs>,
    /// True if the user may not ask for the role. It is not asked again, because the server logs each
    /// denial.
    hides_role: Arc<AtomicBool>,
}

impl Publisher for RedisSendHalf {
    fn lost(&self) -> ConnectError {
        lost(&self.client, "sending")
    }

    fn publish(&self, frame: Bytes) -> Reply {
        let answer = self.client.publish(&self.head, &frame);
        let needs = Arc::clone(&self.needs);
        Box::pin(async move {
            let answer = answer.await.and_then(Value::extract_error);
            let answer = answer.and_then(|answer| Ok(u64::from_redis_value(answer)?));
            answer.map(Some).map_err(|error| refusal(&error, &needs))
        })
    }

    fn backlogs(&self) -> BoxFuture<'static, Option<Vec<Backlog>>> {
        let mut client = self.client.clone();
        let mut list = redis::cmd("CLIENT");
        list.arg("LIST").arg("TYPE").arg("pubsub");
        Box::pin(async move {
            let clients: String = list.query_async(&mut client).await.ok()?;
            Some(clients.lines().filter_map(backlog).collect())
        })
    }

    fn check(&self) -> BoxFuture<'static, Result<(), ConnectError>> {
        let (mut client, hides_role) = (self.client.clone(), self.hides_role.clone());
        Box::pin(async move {
            // Every user may run HELLO, and it keeps the connection alive.
            let hello = hello().query_async(&mut client).await;
            let hello = hello.map(Hello::of).unwrap_or_default();
            if hello.role != Role::Hidden || hides_role.load(Ordering::Relaxed) {
                return hello.role.check();
            }
            match ask_role(&mut client).await {
                Ok(role) => {
                    hides_role.store(matches!(role, Role::Hidden), Ordering::Relaxed);
                    role.check()
                }
                // A busy server stays a master; it is asked again later.
                Err(_) => Ok(()),
            }
        })
    }
}

/// Parses a line of `CLIENT LIST`.
fn backlog(client: &str) -> Option<Backlog> {
    let field = |name| client.split(' ').find_map(|field| field.strip_prefix(name));
    let (subscriber, bytes) = (field("id=")?.parse().ok()?, field("omem=")?.parse().ok()?);
    Some(Backlog { subscriber, bytes })
}

fn refusal(error: &RedisError, needs: &Needs) -> PublishError {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, NoPerm, TryAgain};
    match error.kind() {
        ErrorKind::Server(NoPerm) => {
            let words = words(error);
            let cure = needs.cure(&words);
            PublishError::Refused(format!("{words} ({cure})"))
        }
        ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | TryAgain) => {
            PublishError::NotNow(words(error))
        }
        _ if error.code() == Some("BUSY") => PublishError::NotNow(words(error)),
        _ if error.code().is_some() => PublishError::Refused(words(error)),
        _ => PublishError::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_parsed_from_the_list_of_clients() {
        let client = "id=3 addr=127.0.0.1:1 qbuf=0 omem=20504 tot-mem=3 cmd=subscribe";
        assert_eq!(
            backlog(client),
            Some(Backlog {
                subscriber: 3,
                bytes: 20_504
            })
        );
        assert_eq!(backlog(""), None);
        assert_eq!(backlog("id=x omem=1"), None);
    }
}
