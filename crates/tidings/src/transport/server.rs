//! One server: a connection that hears and nothing else, and one that sends.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, FusedFuture, pending};
use redis::aio::{MultiplexedConnection, SendError};
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ErrorKind, FromRedisValue, PushInfo, PushKind,
    RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind, Value,
};

use super::keyspace::RedisKeys;
use super::{Backlog, Hearing, PublishError, Publisher, Sending};
use crate::acl::{Needs, Permissions};
use crate::error::ConnectError;
use crate::tls::Tls;
use crate::transport::connection::{Access, Line, words};
use crate::transport::stream::Allowance;
use crate::transport::watch::Watch;

/// How many bytes are read before what they brought is handed over. With one frame more, it is
/// all that lies between the socket and the handlers' queues.
const READ: usize = 1 << 20;

const ASKING: &str = "asking for the role";

/// How to hear and send on a server, wherever it is.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    access: Access,
    channel: String,
}

impl Server {
    pub(crate) fn new(settings: &RedisConnectionInfo, tls: Option<Tls>, channel: String) -> Self {
        let permissions = Permissions::of_everything(channel.clone());
        Self {
            access: Access::new(settings, tls, permissions),
            channel,
        }
    }

    /// Its address, for people.
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

    /// Connects both ends; ends well once the subscription is confirmed.
    pub(crate) async fn connect(
        &self,
        at: &ConnectionAddr,
    ) -> Result<(Box<dyn Hearing>, Sending), ConnectError> {
        // First hear, then send: what is sent before the subscription is confirmed is lost here.
        let hearing = self.hearing(at).await?;
        let sending = self.sending(at).await?;
        Ok((Box::new(hearing), sending))
    }

    /// Whether the server says of itself that it is a master. One that may not be asked says
    /// nothing.
    pub(crate) async fn is_master(&self, at: &ConnectionAddr) -> bool {
        let asking = async {
            let mut line = self.open(at, ASKING).await?;
            self.role(&mut line).await
        };
        matches!(asking.await, Ok(Role::Master))
    }

    async fn role(&self, line: &mut Line) -> Result<Role, ConnectError> {
        let answer = line.ask(ASKING, ask_role).await?;
        answer.map_err(|error| self.access.explain(ASKING, &error))
    }

    async fn hearing(&self, at: &ConnectionAddr) -> Result<Hears, ConnectError> {
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
        let mut line = self
            .access
            .open(
                at,
                "connecting to hear",
                config,
                allowance.clone(),
                watch.clone(),
            )
            .await?;
        self.role(&mut line).await?.check()?;
        let doing = "subscribing";
        let mut subscribe = redis::cmd("SUBSCRIBE");
        subscribe.arg(&self.channel);
        let _: Value = line
            .ask(doing, async |line| subscribe.query_async(line).await)
            .await?
            .map_err(|error| self.access.explain(doing, &error))?;
        Ok(Hears {
            line,
            inbox,
            allowance,
            watch,
        })
    }

    async fn sending(&self, at: &ConnectionAddr) -> Result<Sending, ConnectError> {
        let mut line = self.open(at, "connecting to send").await?;
        let role = self.role(&mut line).await?;
        let hides_role = matches!(role, Role::Hidden);
        if hides_role {
            tracing::warn!(
                server = self.shown(at),
                "the user may not ask for ROLE: whether this is the master is not checked \
                 (`+role` allows it)"
            );
        }
        role.check()?;
        let Line { connection, driver } = line;
        let keyspace = RedisKeys {
            connection: connection.clone(),
            channel: self.channel.clone(),
            needs: Arc::clone(&self.access.needs),
        };
        let publisher = Speaks {
            connection,
            channel: self.channel.clone(),
            needs: Arc::clone(&self.access.needs),
            hides_role: Arc::new(AtomicBool::new(hides_role)),
        };
        Ok(Sending {
            publisher: Box::new(publisher),
            driver: driver.boxed(),
            left: pending().boxed(),
            keyspace: Arc::new(keyspace),
        })
    }

    /// A connection for questions and their answers.
    async fn open(&self, at: &ConnectionAddr, doing: &'static str) -> Result<Line, ConnectError> {
        let config = AsyncConnectionConfig::new();
        self.access
            .open(at, doing, config, Allowance::new(usize::MAX), Watch::new())
            .await
    }
}

enum Role {
    Master,
    Other(String),
    /// The user may not ask, or the server does not know the question.
    Hidden,
}

async fn ask_role(connection: &mut MultiplexedConnection) -> RedisResult<Role> {
    let answer = redis::cmd("ROLE").query_async(connection).await;
    Role::of(answer)
}

impl Role {
    /// An error that says nothing of the role is one: a replica that is busy is no master.
    fn of(answer: RedisResult<Vec<Value>>) -> RedisResult<Self> {
        use ServerErrorKind::{NoPerm, ResponseError};
        let answer = match answer {
            Ok(answer) => answer,
            // The second is what a server says to a command that it does not have.
            Err(error) => match error.kind() {
                ErrorKind::Server(NoPerm | ResponseError) => return Ok(Self::Hidden),
                _ => return Err(error),
            },
        };
        let role = answer
            .first()
            .and_then(|role| String::from_redis_value_ref(role).ok());
        Ok(match role.as_deref() {
            Some("master") => Self::Master,
            // Redis's own word is older than today's.
            Some("slave") => Self::Other("replica".to_owned()),
            other => Self::Other(other.unwrap_or("server of an unknown role").to_owned()),
        })
    }

    /// What is published on a replica reaches only that replica's hearers.
    fn check(self) -> Result<(), ConnectError> {
        match self {
            Self::Master | Self::Hidden => Ok(()),
            Self::Other(role) => Err(ConnectError::Role { role }),
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
    line: Line,
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
            let _ = self.line.driver.poll_unpin(cx);
            if self.take(frames) {
                Poll::Ready(Ok(()))
            } else if self.line.driver.is_terminated() {
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
    /// It is not asked again: each denial is counted and listed by the server.
    hides_role: Arc<AtomicBool>,
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
        let (mut connection, hides_role) = (self.connection.clone(), self.hides_role.clone());
        Box::pin(async move {
            if hides_role.load(Ordering::Relaxed) {
                return Ok(());
            }
            match ask_role(&mut connection).await {
                Ok(role) => {
                    hides_role.store(matches!(role, Role::Hidden), Ordering::Relaxed);
                    role.check()
                }
                // It was a master before, and is asked again: one that is busy stays one.
                Err(_) => Ok(()),
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_may_not_be_asked_hides_its_role() {
        let role = |answer: &[u8]| {
            let answer = redis::parse_redis_value(answer);
            Role::of(
                answer
                    .and_then(Value::extract_error)
                    .and_then(|answer| Vec::from_redis_value(answer).map_err(RedisError::from)),
            )
        };
        for hidden in [
            &b"-NOPERM this user has no permissions to run the 'role' command\r\n"[..],
            b"-ERR unknown command 'ROLE', with args beginning with:\r\n",
        ] {
            assert!(matches!(role(hidden), Ok(Role::Hidden)));
        }
        for error in [
            &b"-BUSY Redis is busy running a script\r\n"[..],
            b"-NOAUTH Authentication required.\r\n",
            b"+PONG\r\n",
        ] {
            assert!(role(error).is_err());
        }
        let master = role(b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
        assert!(matches!(master, Ok(Role::Master)));
        let replica = role(b"*1\r\n$5\r\nslave\r\n").unwrap().check();
        assert!(replica.unwrap_err().to_string().contains("a replica"));
    }

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
}
