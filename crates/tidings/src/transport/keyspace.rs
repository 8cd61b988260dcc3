//! What the processes of a namespace keep together in Redis, beside the channel that they share.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{
    Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ScriptInvocation, ServerErrorKind,
    Value,
};

use crate::acl::Needs;
use crate::error::send_failure::Reason;
use crate::error::shown;
use crate::transport::commands::Commands;
use crate::transport::connection::words;

pub(crate) mod counts;
pub(crate) mod hashes;
pub(crate) mod maps;
pub(crate) mod roll;
pub(crate) mod values;

use counts::Counts;
use maps::Maps;
use roll::Roll;
use values::Values;

/// All that a bus asks of its keys. An answer comes only while somebody drives the connection that
/// sends.
pub(crate) trait Keyspace: Counts + Maps + Roll + Values + fmt::Debug + Send + Sync {}

pub(crate) type Answer<T> = BoxFuture<'static, Result<T, KeyError>>;

/// Why Redis did not do what was asked of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// What lies under the key is of another kind. Nothing was changed.
    Foreign(String),
    /// The number would not fit. Nothing was changed.
    Overflow,
    /// It refused, in these words. Nothing was changed.
    Refused(String),
    /// Nobody knows whether it was done: the connection ended before the answer.
    Lost,
}

/// The keys of one server, over the connection that sends.
#[derive(Clone)]
pub(crate) struct RedisKeys {
    pub(crate) connection: MultiplexedConnection,
    /// All that is asked over the connection goes through this.
    pub(crate) commands: Commands,
    /// Where changes are announced.
    pub(crate) channel: String,
    pub(crate) needs: Arc<Needs>,
}

impl Keyspace for RedisKeys {}

impl RedisKeys {
    /// Asks one command.
    fn ask<T: FromRedisValue + 'static>(&self, command: Cmd) -> Answer<T> {
        let mut connection = self.connection.clone();
        let answer = self.begin(async move { command.query_async(&mut connection).await });
        let needs = Arc::clone(&self.needs);
        Box::pin(async move { understood(answer.await?, &needs) })
    }

    /// Runs a script, which Redis does as one step; it is loaded where it is not there yet.
    fn run<T: FromRedisValue + Send + 'static>(
        &self,
        script: ScriptInvocation<'static>,
    ) -> Answer<T> {
        let mut connection = self.connection.clone();
        let answer = self.begin(async move { script.invoke_async(&mut connection).await });
        let needs = Arc::clone(&self.needs);
        Box::pin(async move { understood(answer.await?, &needs) })
    }

    /// Asks in its turn.
    fn begin<T: Send + 'static>(
        &self,
        question: impl Future<Output = T> + Send + 'static,
    ) -> Answer<T> {
        let commands = self.commands.clone();
        Box::pin(async move { commands.ask(question).await.ok_or(KeyError::Lost) })
    }
}

/// What Redis answered, as what was asked for. Only what was read can be something else, as anybody may
/// have written it: a change answers with what its script made, which is always understood.
fn understood<T: FromRedisValue>(answer: RedisResult<Value>, needs: &Needs) -> Result<T, KeyError> {
    let value = answer.map_err(|error| KeyError::of(&error, needs))?;
    T::from_redis_value(value).map_err(|error| KeyError::Foreign(shown(&error.to_string())))
}

/// A field that anybody may have written, if it is text.
fn text(field: &str, bytes: Vec<u8>) -> Result<String, KeyError> {
    let text = String::from_utf8(bytes);
    text.map_err(|_| KeyError::Foreign(format!("its `{field}` is no text")))
}

impl fmt::Debug for RedisKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisKeys").finish_non_exhaustive()
    }
}

impl KeyError {
    /// The same, for who can only wait and ask again.
    pub(crate) fn into_reason(self) -> Reason {
        match self {
            Self::Foreign(words) | Self::Refused(words) => Reason::Refused(words.into()),
            Self::Overflow => Reason::Refused("the number would not fit".into()),
            Self::Lost => Reason::Lost,
        }
    }

    fn of(error: &RedisError, needs: &Needs) -> Self {
        let words = words(error);
        match error.kind() {
            _ if is_denied(error, &words) => {
                let cure = needs.cure(&words);
                Self::Refused(format!("{words} ({cure})"))
            }
            _ if words.contains("would overflow") => Self::Overflow,
            _ if words.contains("WRONGTYPE") || words.contains("is not an integer") => {
                Self::Foreign(words)
            }
            // What is no answer of Redis's at all says nothing of what it did.
            ErrorKind::Parse => Self::Lost,
            _ if error.code().is_some() => Self::Refused(words),
            _ => Self::Lost,
        }
    }
}

/// Whether the user may not do it. What a script is denied has a code of its own.
fn is_denied(error: &RedisError, words: &str) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || words.contains("The user executing the script can't")
        || words.contains("ACL failure in script")
}

/// What is kept in memory, in place of Redis.
#[derive(Debug, Default)]
pub(crate) struct InMemory {
    counts: counts::InMemory,
    maps: maps::InMemory,
    pub(crate) hashes: std::collections::HashMap<String, hashes::Hash>,
    rolls: roll::InMemory,
}
