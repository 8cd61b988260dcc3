//! Requests on the keys of Redis, and the interface of the connection that carries them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ScriptInvocation, Value};

use crate::acl::Needs;
use crate::error::send_failure::SendFailure;
use crate::error::shown;
use crate::keyspace::answer::{Answer, NotDone};
use crate::keyspace::stamp::Moved;
use crate::namespace::channel::Channel;
use crate::redis_error::{is_denied, words};
use crate::resp::Client;

/// A connection to the server that has the keys of a namespace.
pub(crate) trait KeyConnection: Clone + Send + Sync + 'static {
    /// Runs a request, and returns the connection that the answer came over. It is never repeated if
    /// it may have been done.
    fn run(&self, request: KeyRequest) -> Carried<(Value, ConnectionNumber)>;

    /// Runs commands that only read. They travel together, and an error of one does not affect the
    /// others.
    fn read_all(&self, commands: Vec<Cmd>) -> Carried<Vec<RedisResult<Value>>>;
}

/// Identifies a connection of this process, and so the run of one server process. Later ones have higher
/// numbers.
pub(crate) type ConnectionNumber = u64;

/// Returns the number of a new connection.
pub(crate) fn connection_number() -> ConnectionNumber {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// The answer to a request on keys.
pub(crate) type Carried<T> = BoxFuture<'static, Result<T, NoAnswer>>;

/// The reason why a request has no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// Redis answered with an error, or the connection ended before the answer.
    Error(RedisError),
    /// No server has the keys at the moment, for this reason. Nothing was changed.
    NoServer(String),
}

/// A request on keys.
pub(crate) enum KeyRequest {
    Command(Cmd),
    Script(ScriptInvocation<'static>),
}

/// The keys of a namespace in Redis.
#[derive(Clone)]
pub(crate) struct RedisKeys<C> {
    pub(crate) connection: C,
    /// The channel of change notifications.
    pub(crate) channel: Channel,
    pub(crate) needs: Arc<Needs>,
}

impl<C: KeyConnection> RedisKeys<C> {
    /// Sends one command.
    pub(super) fn ask<T: FromRedisValue + 'static>(&self, command: Cmd) -> Answer<T> {
        let answer = self.carry(KeyRequest::Command(command));
        answer.map_ok(|(answer, _)| answer).boxed()
    }

    /// Runs a script, and loads it first if Redis does not have it.
    pub(super) fn run<T: FromRedisValue + Send + 'static>(
        &self,
        script: ScriptInvocation<'static>,
    ) -> Answer<T> {
        let answer = self.carry(KeyRequest::Script(script));
        answer.map_ok(|(answer, _)| answer).boxed()
    }

    /// Runs a script that returns the new version and the nonce before it. `nonce` is the new one.
    pub(super) fn change(&self, script: ScriptInvocation<'static>, nonce: String) -> Answer<Moved> {
        let moved = |(version, was)| Moved::to(version, nonce, was);
        self.run(script).map_ok(moved).boxed()
    }

    /// Returns the answer, and the connection that it came over.
    pub(super) fn carry<T: FromRedisValue>(
        &self,
        request: KeyRequest,
    ) -> impl Future<Output = Result<(T, ConnectionNumber), NotDone>> + Send + use<T, C> {
        let answer = self.connection.run(request);
        let needs = Arc::clone(&self.needs);
        async move {
            let answer = answer.await.map_err(|error| error.into_not_done(&needs));
            let (value, from) = answer?;
            Ok((parsed(Ok(value), &needs)?, from))
        }
    }
}

impl KeyRequest {
    /// Sends the request and waits for its answer.
    pub(crate) async fn send(&self, connection: &Client) -> Result<Value, RedisError> {
        match self {
            Self::Command(command) => connection.query(command).await,
            Self::Script(script) => script.invoke_async(&mut connection.clone()).await,
        }
    }

    /// Does what must be done before the request can be sent as a single command.
    pub(crate) async fn prepare(&self, connection: &Client) -> RedisResult<()> {
        match self {
            Self::Command(_) => Ok(()),
            Self::Script(script) => script.load_async(&mut connection.clone()).await.map(drop),
        }
    }
}

impl NoAnswer {
    pub(super) fn into_not_done(self, needs: &Needs) -> NotDone {
        match self {
            Self::Error(error) => refused(&error, needs),
            Self::NoServer(why) => NotDone::not_sent(SendFailure::NoServer(why.into())),
        }
    }
}

/// Converts an answer. Only an answer with stored data can have another type, as any program may
/// have written it.
pub(super) fn parsed<T: FromRedisValue>(
    answer: RedisResult<Value>,
    needs: &Needs,
) -> Result<T, NotDone> {
    let value = answer.map_err(|error| refused(&error, needs))?;
    T::from_redis_value(value).map_err(|error| NotDone::Foreign(shown(&error.to_string()).into()))
}

/// Converts an error of Redis.
fn refused(error: &RedisError, needs: &Needs) -> NotDone {
    let refused = |words: String| NotDone::not_sent(SendFailure::Refused(words.into()));
    let words = words(error);
    match error.kind() {
        _ if is_denied(error) => {
            let denial = needs.denial(&words);
            NotDone::not_sent(SendFailure::Denied(denial.into()))
        }
        _ if words.contains("would overflow") => NotDone::Overflow,
        _ if words.contains("WRONGTYPE") || words.contains("is not an integer") => {
            NotDone::Foreign(words.into())
        }
        // A reply that cannot be parsed does not tell what Redis did.
        ErrorKind::Parse => NotDone::unknown(SendFailure::Lost),
        _ if error.code().is_some() => refused(words),
        _ => NotDone::unknown(SendFailure::Lost),
    }
}

/// Converts a field to text; any program may have written it.
pub(super) fn text(field: &str, bytes: Vec<u8>) -> Result<String, NotDone> {
    let text = String::from_utf8(bytes);
    text.map_err(|_| NotDone::Foreign(format!("its `{field}` is not UTF-8").into()))
}
