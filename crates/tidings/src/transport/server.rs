//! The connections to one server: one that only receives, and one that sends.

mod keepalive;
mod keys;
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
use futures_util::future::{BoxFuture, pending};
use futures_util::{FutureExt, TryFutureExt};
use redis::{
    ConnectionAddr, ErrorKind, FromRedisValue, RedisConnectionInfo, RedisError, RedisResult,
    ServerErrorKind, Value,
};

use crate::acl::{Needs, Permissions};
use crate::error::connect::ConnectError;
use crate::keyspace::journal::JournalStore;
use crate::keyspace::journal::stream::RedisJournal;
use crate::keyspace::redis::RedisKeys;
use crate::namespace::channel::{Channel, PubSub};
use crate::namespace::{JournalKeys, Namespace};
use crate::redis_error::{own_words, words};
use crate::resp::{Client, Driver, publish_head};
use crate::transport::address::shown_url;
use crate::transport::credentials::CredentialSource;
use crate::transport::journal::{FollowHalf, JournalConnected, JournalNode, JournalPublisher};
use crate::transport::server::keepalive::Keepalive;
use crate::transport::server::keys::ServerKeys;
use crate::transport::server::redis_connection::{Access, RedisConnection, driving, lost};
use crate::transport::server::role::{Hello, Role, ask_role, hello, shortcoming};
use crate::transport::tls::Tls;
use crate::transport::{
    Backlog, Connected, PublishError, Published, Publisher, ReceiveHalf, Reply, SendHalf,
    SendingAgain, Subscriber,
};

/// The timeout of each step of connecting to a node of a cluster: others can be used.
pub(crate) const NODE_TIMEOUT: Duration = Duration::from_secs(2);

/// Connects to a server, to receive and to send.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(super) access: Access,
    pub(super) channel: Channel,
    journal: JournalKeys,
    /// True once a warning was logged that the server is too old.
    has_warned: Arc<AtomicBool>,
}

impl Server {
    /// The user and the password come from `credentials` at each connect, if there is such a source.
    pub(crate) fn new(
        settings: &RedisConnectionInfo,
        tls: Option<Tls>,
        credentials: Option<CredentialSource>,
        namespace: &Namespace,
    ) -> Self {
        let permissions = Permissions::of_everything(namespace, settings.db());
        let access = Access::new(settings, tls, permissions).with_credentials(credentials);
        Self {
            access: access.of_masters(),
            has_warned: Arc::default(),
            journal: namespace.journal(),
            channel: Channel {
                name: namespace.channel_in(settings.db()),
                kind: PubSub::Classic,
            },
        }
    }

    /// A node of a cluster.
    pub(crate) fn of_cluster(
        settings: &RedisConnectionInfo,
        tls: Option<Tls>,
        credentials: Option<CredentialSource>,
        namespace: &Namespace,
        kind: PubSub,
    ) -> Self {
        let permissions = Permissions::of_cluster(namespace, kind);
        let access = Access::new(settings, tls, permissions).with_credentials(credentials);
        Self {
            access: access.of_cluster(NODE_TIMEOUT),
            has_warned: Arc::default(),
            journal: namespace.journal(),
            channel: Channel {
                name: namespace.channel(),
                kind,
            },
        }
    }

    /// The same server, with the credentials of one connection.
    pub(super) fn with_access(&self, access: Access) -> Self {
        Self {
            access,
            ..self.clone()
        }
    }

    /// Formats the address of a server for logs.
    pub(crate) fn shown(&self, at: &ConnectionAddr) -> String {
        shown_url(self.access.scheme(), at)
    }

    /// Connects both halves. Returns when the subscription is confirmed. `left` ends once the server
    /// is not the right one any more.
    pub(crate) async fn connect(
        &self,
        at: &ConnectionAddr,
        left: Left,
    ) -> Result<Connected, ConnectError> {
        // First receive, then send: events that are sent before the subscription is confirmed would
        // not be received here.
        let mut receive_half = self.receive_half(at).await?;
        let shown = self.shown(at);
        let (server, at, peer) = (self.clone(), at.clone(), receive_half.line.peer);
        let again = move || {
            let (server, at, left) = (server.clone(), at.clone(), left());
            let sending = async move { server.sending(&at, peer).await };
            sending
                .map_ok(|sending| SendHalf { left, ..sending })
                .boxed()
        };
        let sending = again().await?;
        receive_half.again = Some(Arc::new(again));
        Ok(Connected {
            receive_half: Box::new(receive_half),
            sending,
            server: shown,
            left_out: Vec::new(),
        })
    }

    /// Returns true if the server reports to be a master; false if it may not be asked.
    pub(crate) async fn is_master(&self, at: &ConnectionAddr) -> bool {
        let doing = "asking for the role";
        let opened = self.access.open(at, None, doing).await;
        opened.is_ok_and(|line| line.role == Role::Master)
    }

    /// Connects a receive half. Returns when the subscription is confirmed.
    pub(crate) async fn receive_half(
        &self,
        at: &ConnectionAddr,
    ) -> Result<RedisReceiveHalf, ConnectError> {
        let doing = "connecting to receive";
        let mut line = self.access.open(at, None, doing).await?;
        line.driver.follow(&self.channel);
        let mut subscribe = redis::cmd(self.channel.kind.subscribe());
        subscribe.arg(&self.channel.name);
        let _: Value = line
            .ask("subscribing", async |line| line.query(&subscribe).await)
            .await?;
        Ok(RedisReceiveHalf {
            line,
            again: None,
            keepalive: Keepalive::new(),
        })
    }

    /// Connects the send half, to the address that the receive half has reached: the other addresses
    /// of the name may be those of other servers.
    pub(crate) async fn sending(
        &self,
        at: &ConnectionAddr,
        peer: Option<SocketAddr>,
    ) -> Result<SendHalf, ConnectError> {
        let line = self.send_line(at, peer).await?;
        let hides_role = line.role == Role::Hidden;
        if hides_role {
            tracing::warn!(
                server = self.shown(at),
                "cannot check that the server is the master: the user may not run ROLE \
                 (`+role` allows it)"
            );
        }
        let server = self.with_access(line.access);
        Ok(server.sending_over(line.client, line.driver, hides_role))
    }

    /// Connects to send or to use keys. Warns once about a server that is too old.
    pub(crate) async fn send_line(
        &self,
        at: &ConnectionAddr,
        peer: Option<SocketAddr>,
    ) -> Result<RedisConnection, ConnectError> {
        let doing = "connecting to send";
        let line = self.access.open(at, peer, doing).await?;
        if let Some(version) = &line.version
            && let Some(shortcoming) = shortcoming(version)
            && !self.has_warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(server = self.shown(at), ?version, "{shortcoming}");
        }
        Ok(line)
    }

    /// Returns the send half over a connection.
    pub(super) fn sending_over(
        &self,
        client: Client,
        driver: Driver,
        hides_role: bool,
    ) -> SendHalf {
        let keys = ServerKeys::new(client.limited());
        SendHalf {
            publisher: Box::new(RedisSendHalf {
                hides_role: Arc::new(AtomicBool::new(hides_role)),
                knows_subscribers: true,
                ..self.publisher(client)
            }),
            // Polled again after its end: by the wait for an answer, and then by its task.
            driver: driving(driver).fuse().boxed(),
            left: pending().boxed(),
            keyspace: Arc::new(self.keys(keys)),
            is_unproven: false,
        }
    }

    /// Connects both halves of the journal. `left` ends once the server is not the right one any more.
    pub(crate) async fn connect_journal(
        &self,
        at: &ConnectionAddr,
        left: BoxFuture<'static, ConnectError>,
        journal: JournalNode,
    ) -> Result<JournalConnected, ConnectError> {
        let JournalNode {
            is_asking,
            block,
            redirect,
            appending,
        } = journal;
        let follow = self.send_line(at, None).await?;
        let version = follow
            .version
            .filter(|version| shortcoming(version).is_some());
        if let Some(version) = version {
            return Err(ConnectError::TooOld { version });
        }
        let append = self.send_line(at, follow.peer).await?;
        let hides_role = append.role == Role::Hidden;
        let server = self.with_access(append.access);
        let store = |client| -> Arc<dyn JournalStore> {
            let (keys, needs) = (server.journal.clone(), Arc::clone(&server.access.needs));
            Arc::new(RedisJournal::new(client, keys, needs, is_asking))
        };
        let follow = FollowHalf {
            store: store(follow.client),
            driver: driving(follow.driver).fuse().boxed(),
            block,
            redirect: Arc::clone(&redirect),
        };
        let store = store(append.client.clone());
        let sending = SendHalf {
            left,
            ..server.sending_over(append.client, append.driver, hides_role)
        };
        Ok(JournalConnected {
            follow,
            sending: JournalPublisher::over(sending, Arc::clone(&store), redirect, appending),
            store,
            server: self.shown(at),
        })
    }

    /// Returns the publisher over a connection to a server that does not know all subscribers.
    pub(super) fn publisher(&self, client: Client) -> RedisSendHalf {
        RedisSendHalf {
            client,
            head: publish_head(&self.channel),
            needs: Arc::clone(&self.access.needs),
            hides_role: Arc::default(),
            knows_subscribers: false,
        }
    }

    /// Returns the keys of the namespace over a connection.
    pub(super) fn keys<C>(&self, connection: C) -> RedisKeys<C> {
        RedisKeys {
            connection,
            channel: self.channel.clone(),
            needs: Arc::clone(&self.access.needs),
        }
    }
}

/// Returns the reason once the server is not the right one any more.
pub(crate) type Left = Arc<dyn Fn() -> BoxFuture<'static, ConnectError> + Send + Sync>;

/// Connects another send half.
pub(crate) type Again = Arc<dyn Fn() -> SendingAgain + Send + Sync>;

/// The half that receives, over a connection of its own.
pub(crate) struct RedisReceiveHalf {
    line: RedisConnection,
    /// Connects another send half for it.
    pub(super) again: Option<Again>,
    keepalive: Keepalive,
}

#[async_trait]
impl ReceiveHalf for RedisReceiveHalf {
    async fn receive(&mut self, frames: &mut Vec<Bytes>) -> Result<(), ConnectError> {
        poll_fn(|cx| {
            match self.line.driver.poll_frames(cx, frames) {
                Poll::Ready(true) => Poll::Ready(Ok(())),
                Poll::Ready(false) => Poll::Ready(Err(lost(&self.line.client, "receiving"))),
                Poll::Pending if self.line.driver.has_left() => {
                    Poll::Ready(Err(ConnectError::ChannelMoved))
                }
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
        self.line.watch.set(is_watched);
    }

    fn set_keepalive(&mut self, every: Duration) {
        self.keepalive.set(every);
    }

    fn quiet(&self) -> Option<Duration> {
        Some(self.keepalive.sent.elapsed())
    }

    fn sending_again(&self) -> Option<SendingAgain> {
        self.again.as_ref().map(|again| again())
    }
}

/// The half that sends.
pub(crate) struct RedisSendHalf {
    pub(super) client: Client,
    /// The start of each command.
    head: Vec<u8>,
    needs: Arc<Needs>,
    /// True if the user may not ask for the role. It is not asked again, because the server logs each
    /// denial.
    hides_role: Arc<AtomicBool>,
    /// True if the server knows all subscribers of the channel.
    knows_subscribers: bool,
}

impl Publisher for RedisSendHalf {
    fn lost(&self) -> ConnectError {
        lost(&self.client, "sending")
    }

    fn publish(&self, frame: Bytes) -> Reply {
        let answer = self.client.publish(&self.head, &frame);
        let (needs, knows_subscribers) = (Arc::clone(&self.needs), self.knows_subscribers);
        Box::pin(async move {
            let answer = answer.await.and_then(Value::extract_error);
            let answer = answer.and_then(|answer| Ok(u64::from_redis_value(answer)?));
            let receivers = answer.map_err(|error| refusal(&error, &needs))?;
            Ok(Published::to(knows_subscribers.then_some(receivers)))
        })
    }

    fn backlogs(&self) -> BoxFuture<'static, Option<Vec<Backlog>>> {
        let client = self.client.clone();
        Box::pin(async move { backlogs_of(0, &client).await.ok() })
    }

    fn check(&self) -> BoxFuture<'static, Result<(), ConnectError>> {
        let (client, hides_role) = (self.client.clone(), self.hides_role.clone());
        Box::pin(async move {
            // Every user may run HELLO, and it keeps the connection alive.
            let hello = client.query(&hello()).await;
            let hello = hello.map(Hello::of).unwrap_or_default();
            if hello.role != Role::Hidden || hides_role.load(Ordering::Relaxed) {
                return hello.role.check();
            }
            match ask_role(&client).await {
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

/// Asks the server with this number for the backlogs of its subscribers.
pub(crate) async fn backlogs_of(server: u64, client: &Client) -> RedisResult<Vec<Backlog>> {
    let mut list = redis::cmd("CLIENT");
    list.arg("LIST").arg("TYPE").arg("pubsub");
    let clients: String = client.query(&list).await?;
    Ok(backlogs(server, &clients).collect())
}

/// Parses the answer to `CLIENT LIST TYPE pubsub` of the server with this number.
pub(crate) fn backlogs(server: u64, clients: &str) -> impl Iterator<Item = Backlog> {
    let backlogs = clients.lines();
    backlogs.filter_map(move |client| backlog(server, client))
}

/// Parses a line of `CLIENT LIST`. Bytes wait in a buffer of fixed size (`obl`), and then in a list.
fn backlog(server: u64, client: &str) -> Option<Backlog> {
    let field = |name| client.split(' ').find_map(|field| field.strip_prefix(name));
    let number = |name| field(name)?.parse::<usize>().ok();
    let (client, in_list) = (field("id=")?.parse().ok()?, number("omem=")?);
    let bytes = in_list.saturating_add(number("obl=").unwrap_or(0));
    let subscriber = Subscriber { server, client };
    Some(Backlog { subscriber, bytes })
}

fn refusal(error: &RedisError, needs: &Needs) -> PublishError {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, Moved, NoPerm, TryAgain};
    match error.kind() {
        ErrorKind::Server(NoPerm) => PublishError::Denied(needs.denial(&words(error))),
        ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | Moved | TryAgain) => {
            PublishError::NotNow(own_words(error))
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
        let client = "id=3 addr=127.0.0.1:1 qbuf=0 obl=4 oll=1 omem=20500 tot-mem=3 cmd=subscribe";
        let subscriber = Subscriber {
            server: 1,
            client: 3,
        };
        let bytes = 20_504;
        assert_eq!(backlog(1, client), Some(Backlog { subscriber, bytes }));
        assert_eq!(backlog(1, ""), None);
        assert_eq!(backlog(1, "id=x omem=1"), None);
    }
}
