//! Questions to one server, of which some may be denied.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisError, RedisResult};
use tokio::time::{Instant, timeout_at};

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
    /// The time for one question.
    limit: Duration,
    /// The end of the time for all questions.
    end: Instant,
    has_answer: AtomicBool,
}

impl<'a> Asking<'a> {
    /// Asks within `limit` for each question, and until `end`.
    pub(super) fn new(client: Client, access: &'a Access, limit: Duration, end: Instant) -> Self {
        Self {
            client,
            access,
            denied: Mutex::default(),
            lost: Mutex::default(),
            limit,
            end,
            has_answer: AtomicBool::new(false),
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Asks `command`. Its words are given in `name`.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        name: &'static str,
        command: Cmd,
    ) -> Option<T> {
        let answer = self.in_time(self.client.query(&command)).await?;
        self.noted(name, answer)
    }

    /// Waits for an answer. `None` if it takes longer than a question may: it is not known then.
    pub(super) async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        let end = self.end.min(Instant::now() + self.limit);
        let answer = timeout_at(end, answer).await.ok()?;
        self.has_answer.store(true, Ordering::Relaxed);
        Some(answer)
    }

    /// Returns whether a question was answered in time.
    pub(super) fn has_answer(&self) -> bool {
        self.has_answer.load(Ordering::Relaxed)
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
