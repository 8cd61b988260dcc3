//! Questions to one server, of which some may be denied.

use redis::{Cmd, FromRedisValue, RedisError, RedisResult};

use crate::error::report;
use crate::resp::Client;
use crate::task::mutex::Mutex;
use crate::transport::server::redis_connection::Access;

/// A question that a server rejected, most often because the user may not ask it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Denied {
    /// The command.
    pub command: &'static str,
    /// The error, with the cure where it is known.
    pub error: String,
}

/// Asks a server, and collects what it rejects.
pub(super) struct Asking<'a> {
    client: Client,
    access: &'a Access,
    denied: Mutex<Vec<Denied>>,
    /// The end of the connection.
    lost: Mutex<Option<RedisError>>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(client: Client, access: &'a Access) -> Self {
        Self {
            client,
            access,
            denied: Mutex::default(),
            lost: Mutex::default(),
        }
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Asks `command`. Its words are given in `name`.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        name: &'static str,
        command: Cmd,
    ) -> Option<T> {
        let answer = command.query_async(&mut self.client()).await;
        self.noted(name, answer)
    }

    /// Asks a command without arguments.
    pub(super) async fn words<T: FromRedisValue>(&self, name: &'static str) -> Option<T> {
        self.ask(name, command(name)).await
    }

    /// Takes the answer, or notes the error.
    pub(super) fn noted<T>(&self, command: &'static str, answer: RedisResult<T>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) if error.is_io_error() => {
                self.lost.lock().get_or_insert(error);
                None
            }
            Err(error) => {
                let error = report(&self.access.explain(command, &error)).to_string();
                self.denied.lock().push(Denied { command, error });
                None
            }
        }
    }

    /// Returns what was rejected, or the error that has ended the connection.
    pub(super) fn end(self) -> RedisResult<Vec<Denied>> {
        match self.lost.lock().take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut *self.denied.lock())),
        }
    }
}

/// A command of these words.
pub(super) fn command(words: &str) -> Cmd {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().unwrap_or_default());
    for word in words {
        command.arg(word);
    }
    command
}
