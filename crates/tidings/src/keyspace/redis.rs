//! Commands and scripts on a connection to Redis.

use std::fmt;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ScriptInvocation, Value};

use crate::acl::Needs;
use crate::error::shown;
use crate::keyspace::answer::{Answer, KeyError};
use crate::keyspace::commands::Commands;
use crate::redis_error::{is_denied, words};

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

impl RedisKeys {
    /// Asks one command.
    pub(super) fn ask<T: FromRedisValue + 'static>(&self, command: Cmd) -> Answer<T> {
        let mut connection = self.connection.clone();
        let answer = self.begin(async move { command.query_async(&mut connection).await });
        let needs = Arc::clone(&self.needs);
        Box::pin(async move { understood(answer.await?, &needs) })
    }

    /// Runs a script, which Redis does as one step; it is loaded where it is not there yet.
    pub(super) fn run<T: FromRedisValue + Send + 'static>(
        &self,
        script: ScriptInvocation<'static>,
    ) -> Answer<T> {
        let mut connection = self.connection.clone();
        let answer = self.begin(async move { script.invoke_async(&mut connection).await });
        let needs = Arc::clone(&self.needs);
        Box::pin(async move { understood(answer.await?, &needs) })
    }

    /// Asks in its turn.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        question: impl Future<Output = T> + Send + 'static,
    ) -> Answer<T> {
        let commands = self.commands.clone();
        Box::pin(async move { commands.ask(question).await.ok_or(KeyError::Lost) })
    }
}

/// What Redis answered, as what was asked for. Only what was read can be something else, as anybody may
/// have written it: a change answers with what its script made, which is always understood.
pub(super) fn understood<T: FromRedisValue>(
    answer: RedisResult<Value>,
    needs: &Needs,
) -> Result<T, KeyError> {
    let value = answer.map_err(|error| refused(&error, needs))?;
    T::from_redis_value(value).map_err(|error| KeyError::Foreign(shown(&error.to_string())))
}

/// Redis's error, as what became of the question.
pub(super) fn refused(error: &RedisError, needs: &Needs) -> KeyError {
    let words = words(error);
    match error.kind() {
        _ if is_denied(error, &words) => {
            let cure = needs.cure(&words);
            KeyError::Refused(format!("{words} ({cure})"))
        }
        _ if words.contains("would overflow") => KeyError::Overflow,
        _ if words.contains("WRONGTYPE") || words.contains("is not an integer") => {
            KeyError::Foreign(words)
        }
        // What is no answer of Redis's at all says nothing of what it did.
        ErrorKind::Parse => KeyError::Lost,
        _ if error.code().is_some() => KeyError::Refused(words),
        _ => KeyError::Lost,
    }
}

/// A field that anybody may have written, if it is text.
pub(super) fn text(field: &str, bytes: Vec<u8>) -> Result<String, KeyError> {
    let text = String::from_utf8(bytes);
    text.map_err(|_| KeyError::Foreign(format!("its `{field}` is no text")))
}

impl fmt::Debug for RedisKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisKeys").finish_non_exhaustive()
    }
}
