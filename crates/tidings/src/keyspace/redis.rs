//! Commands and scripts on a connection to Redis.

use std::fmt;
use std::sync::Arc;

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ScriptInvocation, Value};

use crate::acl::Needs;
use crate::error::shown;
use crate::keyspace::answer::{Answer, KeyError};
use crate::redis_error::{is_denied, words};
use crate::resp::Client;

/// The keys of one server, over the connection that sends.
#[derive(Clone)]
pub(crate) struct RedisKeys {
    pub(crate) client: Client,
    /// The channel of change notifications.
    pub(crate) channel: String,
    pub(crate) needs: Arc<Needs>,
}

impl RedisKeys {
    /// Sends one command.
    pub(super) fn ask<T: FromRedisValue + 'static>(&self, command: Cmd) -> Answer<T> {
        let (mut client, needs) = (self.client.clone(), Arc::clone(&self.needs));
        Box::pin(async move { parsed(command.query_async(&mut client).await, &needs) })
    }

    /// Runs a script, and loads it first if Redis does not have it.
    pub(super) fn run<T: FromRedisValue + Send + 'static>(
        &self,
        script: ScriptInvocation<'static>,
    ) -> Answer<T> {
        let (mut client, needs) = (self.client.clone(), Arc::clone(&self.needs));
        Box::pin(async move { parsed(script.invoke_async(&mut client).await, &needs) })
    }
}

/// Converts an answer. Only an answer with stored data can have another type, as any program may
/// have written it.
pub(super) fn parsed<T: FromRedisValue>(
    answer: RedisResult<Value>,
    needs: &Needs,
) -> Result<T, KeyError> {
    let value = answer.map_err(|error| refused(&error, needs))?;
    T::from_redis_value(value).map_err(|error| KeyError::Foreign(shown(&error.to_string())))
}

/// Converts an error of Redis.
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
        // A reply that cannot be parsed does not tell what Redis did.
        ErrorKind::Parse => KeyError::Lost,
        _ if error.code().is_some() => KeyError::Refused(words),
        _ => KeyError::Lost,
    }
}

/// Converts a field to text; any program may have written it.
pub(super) fn text(field: &str, bytes: Vec<u8>) -> Result<String, KeyError> {
    let text = String::from_utf8(bytes);
    text.map_err(|_| KeyError::Foreign(format!("its `{field}` is not UTF-8")))
}

impl fmt::Debug for RedisKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisKeys").finish_non_exhaustive()
    }
}
