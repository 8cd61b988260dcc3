//! One Redis server: a connection that hears and nothing else, and one that sends.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Fuse, FusedFuture};
use redis::aio::{MultiplexedConnection, SendError};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError, ServerErrorKind, Value,
};
use tokio::time::timeout;

use super::{Backlog, Connected, Hearing, PublishError, Publisher, Sending, Transport};
use crate::acl::{Needs, Permissions};
use crate::error::ConnectError;
use crate::tls::Tls;
use crate::transport::stream::{self, Allowance, Metered};
use crate::transport::tls;
use crate::transport::watch::Watch;

/// How long each step of connecting may take.
const STEP: Duration = Duration::from_secs(5);

/// How many bytes are read before what they brought is handed over. With one frame more, it is
/// all that lies between the socket and the handlers' queues.
const READ: usize = 1 << 20;

pub(crate) struct Standalone {
    address: String,
    at: ConnectionAddr,
    tls: Option<Tls>,
    settings: RedisConnectionInfo,
    channel: String,
    needs: Arc<Needs>,
}

impl Standalone {
    pub(crate) fn new(
        address: String,
        info: &ConnectionInfo,
        tls: Option<Tls>,
        channel: String,
    ) -> Self {
        // Only RESP3 pushes what it hears on a connection that also answers.
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3);
        let settings = settings.set_lib_name("tidings", env!("CARGO_PKG_VERSION"));
        let user = settings.username().unwrap_or("default").to_owned();
        let permissions = Permissions::on_channel(channel.clone());
        let permissions = match settings.db() {
            0 => permissions,
            _ => permissions.select_database(),
        };
        Self {
            address,
            at: info.addr().clone(),
            tls,
            settings,
            channel,
            needs: Arc::new(Needs { user, permissions }),
        }
    }

    async fn open(
        &self,
        doing: &'static str,
        config: AsyncConnectionConfig,
        allowance: Allowance,
        watch: Watch,
    ) -> Result<Link, ConnectError> {
        // Each call has a time-out around it; the crate's own would hide what it was doing.
        let config = config.set_response_timeout(None);
        let opening = async {
            let stream = stream::open(doing, &self.at, self.tls.as_ref(), watch).await?;
            let stream = Metered { stream, allowance };
            MultiplexedConnection::new_with_config(&self.settings, stream, config)
                .await
                .map_err(|error| {
                    self.hung_up(doing, &error)
                        .unwrap_or_else(|| self.explain(doing, &error))
                })
        };
        let opened = timeout(STEP, opening)
            .await
            .map_err(|_| ConnectError::timed_out(doing))?;
        let (connection, driver) = opened?;
        Ok(Link {
            connection,
            driver: driver.boxed().fuse(),
        })
    }

    async fn hearing(&self) -> Result<Hears, ConnectError> {
        let inbox = Arc::new(Mutex::new(Vec::new()));
        // Until the subscription is confirmed, only answers come.
        let (allowance, watch) = (Allowance::new(usize::MAX), Watch::new());
        let pushes = Arc::clone(&inbox);
        let config = AsyncConnectionConfig::new().set_push_sender(move |push: PushInfo| {
            pushes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(frame(push));
            Ok::<(), SendError>(())
        });
        let mut link = self
            .open(
                "connecting to hear",
                config,
                allowance.clone(),
                watch.clone(),
            )
            .await?;
        self.check_role(&mut link).await?;
        let doing = "subscribing";
        let mut subscribe = redis::cmd("SUBSCRIBE");
        subscribe.arg(&self.channel);
        let _: Value = link
            .ask(subscribe, doing)
            .await?
            .map_err(|error| self.explain(doing, &error))?;
        Ok(Hears {
            link,
            inbox,
            allowance,
            watch,
        })
    }

    async fn sending(&self) -> Result<Sending, ConnectError> {
        let mut link = self
            .open(
                "connecting to send",
                AsyncConnectionConfig::new(),
                Allowance::new(usize::MAX),
                Watch::new(),
            )
            .await?;
        self.check_role(&mut link).await?;
        let Link { connection, driver } = link;
        let publisher = Speaks {
            connection,
            channel: self.channel.clone(),
            needs: Arc::clone(&self.needs),
        };
        Ok(Sending {
            publisher: Box::new(publisher),
            driver: driver.boxed(),
        })
    }

    /// What is published on a replica reaches only that replica's hearers.
    async fn check_role(&self, link: &mut Link) -> Result<(), ConnectError> {
        let answer = link.ask(redis::cmd("ROLE"), "asking for the role").await?;
        Role::of(answer).check()
    }

    /// What a server that wants TLS does at the first word without.
    fn hung_up(&self, doing: &'static str, error: &RedisError) -> Option<ConnectError> {
        let is_plain = self.tls.is_none() && matches!(self.at, ConnectionAddr::Tcp(..));
        (is_plain && error.is_connection_dropped()).then(|| {
            let hint = "the server hung up; if it speaks TLS on this port, write `rediss:`";
            let source = std::io::Error::other(format!("{error} ({hint})"));
            ConnectError::Io { doing, source }
        })
    }

    fn explain(&self, doing: &'static str, error: &RedisError) -> ConnectError {
        if let Some(problem) = tls::explain(doing, error) {
            return problem;
        }
        if error.is_io_error() || error.is_connection_dropped() {
            let source = std::io::Error::other(error.to_string());
            return ConnectError::Io { doing, source };
        }
        let words = words(error);
        let is_denied = error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
            || words.contains("no permissions");
        let is_no_database = words.contains("DB index");
        let is_wrong = error.kind() == ErrorKind::AuthenticationFailed
            || ["WRONGPASS", "NOAUTH"]
                .iter()
                .any(|code| words.contains(code));
        let cure = if is_denied {
            Some(self.needs.cure(&words))
        } else if is_wrong {
            Some("check the user and the password in the address".to_owned())
        } else if words.contains("HELLO") || words.contains("NOPROTO") {
            Some("tidings needs Redis 6 or newer".to_owned())
        } else if is_no_database {
            Some("the server has no database of this number".to_owned())
        } else {
            None
        };
        ConnectError::Redis {
            doing,
            words,
            cure,
            is_final: is_denied || is_wrong || is_no_database,
        }
    }
}

impl fmt::Debug for Standalone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the settings: they hold the password.
        f.debug_struct("Standalone")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for Standalone {
    fn address(&self) -> String {
        self.address.clone()
    }

    async fn connect(&self) -> Result<Connected, ConnectError> {
        // First hear, then send: what is sent before the subscription is confirmed is lost here.
        let hearing = self.hearing().await?;
        let sending = self.sending().await?;
        Ok(Connected {
            hearing: Box::new(hearing),
            sending,
        })
    }
}

/// A connection together with the future that makes it move.
struct Link {
    connection: MultiplexedConnection,
    driver: Driver,
}

/// A driver that may be asked again after its end.
type Driver = Fuse<BoxFuture<'static, ()>>;

enum Role {
    Master,
    Other(String),
    Hidden,
}

impl Link {
    /// Asks something while driving the connection. The outer error is the connection's.
    async fn ask<T: FromRedisValue>(
        &mut self,
        command: Cmd,
        doing: &'static str,
    ) -> Result<Result<T, RedisError>, ConnectError> {
        let asking = async {
            tokio::select! {
                biased;
                answer = command.query_async(&mut self.connection) => Ok(answer),
                () = &mut self.driver => Err(ConnectError::Lost),
            }
        };
        timeout(STEP, asking)
            .await
            .unwrap_or(Err(ConnectError::timed_out(doing)))
    }
}

impl Role {
    fn of(answer: Result<Vec<Value>, RedisError>) -> Self {
        let Ok(answer) = answer else {
            return Self::Hidden;
        };
        let role = answer
            .first()
            .and_then(|role| String::from_redis_value_ref(role).ok());
        match role.as_deref() {
            Some("master") => Self::Master,
            // Redis's own word is older than today's.
            Some("slave") => Self::Other("replica".to_owned()),
            other => Self::Other(other.unwrap_or("server of an unknown role").to_owned()),
        }
    }

    fn check(self) -> Result<(), ConnectError> {
        match self {
            Self::Master => Ok(()),
            Self::Other(role) => Err(ConnectError::Role { role }),
            Self::Hidden => {
                tracing::debug!(
                    "no permission for ROLE: whether this is the master is not checked"
                );
                Ok(())
            }
        }
    }
}

/// The frame that was pushed, if it is one.
fn frame(push: PushInfo) -> Option<Bytes> {
    match push.data.into_iter().nth(1) {
        Some(Value::BulkString(frame)) if push.kind == PushKind::Message => Some(frame.into()),
        _ => None,
    }
}

struct Hears {
    link: Link,
    /// What was pushed and not yet taken.
    inbox: Arc<Mutex<Vec<Bytes>>>,
    allowance: Allowance,
    watch: Watch,
}

impl Hears {
    fn take(&self, frames: &mut Vec<Bytes>) -> bool {
        frames.append(&mut self.inbox.lock().unwrap_or_else(PoisonError::into_inner));
        !frames.is_empty()
    }
}

#[async_trait]
impl Hearing for Hears {
    async fn hear(&mut self, frames: &mut Vec<Bytes>) -> Result<(), ConnectError> {
        poll_fn(|cx| {
            // A check may have brought frames in passing.
            if self.take(frames) {
                return Poll::Ready(Ok(()));
            }
            self.allowance.renew(READ);
            // What came before the end is heard first; the end is asked for again.
            let _ = self.link.driver.poll_unpin(cx);
            if self.take(frames) {
                Poll::Ready(Ok(()))
            } else if self.link.driver.is_terminated() {
                Poll::Ready(Err(ConnectError::Lost))
            } else {
                Poll::Pending
            }
        })
        .await
    }

    fn set_watched(&mut self, is_watched: bool) {
        self.watch.set(is_watched);
    }
}

struct Speaks {
    connection: MultiplexedConnection,
    channel: String,
    needs: Arc<Needs>,
}

impl Publisher for Speaks {
    fn publish(&self, frame: Bytes) -> BoxFuture<'static, Result<Option<u64>, PublishError>> {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(&self.channel).arg(&*frame);
        let (mut connection, needs) = (self.connection.clone(), Arc::clone(&self.needs));
        Box::pin(async move {
            let answer = publish.query_async::<u64>(&mut connection).await;
            answer.map(Some).map_err(|error| refusal(&error, &needs))
        })
    }

    fn backlogs(&self) -> BoxFuture<'static, Option<Vec<Backlog>>> {
        let mut connection = self.connection.clone();
        let mut list = redis::cmd("CLIENT");
        list.arg("LIST").arg("TYPE").arg("pubsub");
        Box::pin(async move {
            let clients: String = list.query_async(&mut connection).await.ok()?;
            Some(clients.lines().filter_map(backlog).collect())
        })
    }

    fn check(&self) -> BoxFuture<'static, Result<(), ConnectError>> {
        let mut connection = self.connection.clone();
        Box::pin(async move {
            let answer = redis::cmd("ROLE").query_async(&mut connection).await;
            Role::of(answer).check()
        })
    }
}

/// What a line of `CLIENT LIST` says of a hearer.
fn backlog(client: &str) -> Option<Backlog> {
    let field = |name| client.split(' ').find_map(|field| field.strip_prefix(name));
    let (hearer, bytes) = (field("id=")?.parse().ok()?, field("omem=")?.parse().ok()?);
    Some(Backlog { hearer, bytes })
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

/// Redis's own words, without the crate's.
fn words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_read_from_the_list_of_clients() {
        let client = "id=3 addr=127.0.0.1:1 qbuf=0 omem=20504 tot-mem=3 cmd=subscribe";
        assert_eq!(
            backlog(client),
            Some(Backlog {
                hearer: 3,
                bytes: 20_504
            })
        );
        assert_eq!(backlog(""), None);
        assert_eq!(backlog("id=x omem=1"), None);
    }

    #[test]
    fn a_debug_view_holds_no_secret() {
        let info = redis::IntoConnectionInfo::into_connection_info("redis://u:hush@h").unwrap();
        let standalone = Standalone::new("redis://h:6379".into(), &info, None, "c".into());
        assert!(!format!("{standalone:?}").contains("hush"));
    }
}
