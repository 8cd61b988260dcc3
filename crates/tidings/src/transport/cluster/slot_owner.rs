//! Requests on keys, at the node that has their slot: it is followed through moves and failovers.

mod importing;
mod line;
mod task;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{Cmd, RedisResult, Value};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::keyspace::redis::{Carried, ConnectionNumber, KeyConnection, KeyRequest, NoAnswer};
use crate::redis_error::own_words;
use crate::transport::address::{Place, shown};
use crate::transport::cluster::finder::Finder;
use crate::transport::cluster::redirect::Redirect;
use crate::transport::cluster::slot_owner::importing::Imported;
use crate::transport::cluster::slot_owner::line::{Hint, KeyState, Line, Shared};
use crate::transport::cluster::slot_owner::task::OwnerTask;

/// The maximum wait for the node that has the slot.
const PATIENCE: Duration = Duration::from_millis(500);

/// The pause before a request is sent again that a moving slot rejected.
const PAUSE: Duration = Duration::from_millis(5);

/// The capacity of the queue of hints; if it is full, further ones are dropped.
const MAX_HINTS: usize = 8;

/// The connection to the node that has the slot.
#[derive(Clone)]
pub(super) struct SlotOwner {
    shared: Arc<Shared>,
    _task: Arc<AbortOnDropHandle<()>>,
}

impl SlotOwner {
    /// Starts the task that keeps the connection.
    pub(super) fn begin(finder: Arc<Finder>) -> Self {
        let (hints, hinted) = mpsc::channel(MAX_HINTS);
        let begins: Arc<str> = "the first connection is not made yet".into();
        let shared = Arc::new(Shared {
            finder,
            line: watch::Sender::new(Err(Arc::clone(&begins))),
            state: watch::Sender::new(Err(begins)),
            hints,
            importing: Mutex::default(),
        });
        let task = OwnerTask::new(Arc::clone(&shared), hinted);
        Self {
            shared,
            _task: Arc::new(AbortOnDropHandle::new(tokio::spawn(task.run()))),
        }
    }

    /// Watches the connection.
    pub(super) fn state(&self) -> watch::Receiver<KeyState> {
        self.shared.state.subscribe()
    }

    /// Runs a request. It is sent again only if the answer says that nothing was changed.
    async fn carry(self, request: KeyRequest) -> Result<(Value, ConnectionNumber), NoAnswer> {
        let deadline = Instant::now() + PATIENCE;
        let mut left = 0;
        loop {
            let line = self.line_after(left, deadline).await?;
            let error = match request.send(&line.client).await {
                Ok(value) => return Ok((value, line.number)),
                Err(error) => error,
            };
            let error = match Redirect::of(&error, &line.at) {
                None => return Err(NoAnswer::Error(error)),
                Some(Redirect::Moved(to)) => {
                    left = line.number;
                    self.hint(left, Some(to));
                    // No move is under way any more.
                    if let Ok(mut importing) = self.shared.importing.try_lock() {
                        *importing = None;
                    }
                    error
                }
                Some(Redirect::Ask(to)) => match self.import(to, &request, deadline).await? {
                    Imported::Done(value, number) => return Ok((value, number)),
                    Imported::NotYet(error) => error,
                },
                Some(Redirect::Again) => error,
                Some(Redirect::Demoted) => {
                    self.hint(line.number, None);
                    error
                }
                Some(Redirect::Down) => {
                    self.hint(line.number, None);
                    return Err(NoAnswer::NoServer(own_words(&error)));
                }
            };
            if Instant::now() + PAUSE >= deadline {
                return Err(NoAnswer::NoServer(own_words(&error)));
            }
            if left < line.number {
                sleep(PAUSE).await;
            }
        }
    }

    /// Waits for a connection with a higher number.
    async fn line_after(&self, left: u64, deadline: Instant) -> Result<Line, NoAnswer> {
        let mut lines = self.shared.line.subscribe();
        let is_next = |line: &Result<Line, _>| line.as_ref().is_ok_and(|line| line.number > left);
        let waiting = timeout_at(deadline, lines.wait_for(is_next));
        if let Ok(Ok(line)) = waiting.await
            && let Ok(line) = &*line
        {
            return Ok(line.clone());
        }
        let why = match &*self.shared.line.borrow() {
            Ok(line) => format!("{} has it no more", shown(&line.at)),
            Err(why) => why.to_string(),
        };
        Err(NoAnswer::NoServer(why))
    }

    fn hint(&self, line: u64, to: Option<Place>) {
        // One of them is enough.
        let _ = self.shared.hints.try_send(Hint { line, to });
    }

    /// Sends a request to the node that the slot moves to.
    async fn import(
        &self,
        to: Place,
        request: &KeyRequest,
        deadline: Instant,
    ) -> Result<Imported, NoAnswer> {
        let busy = |_| NoAnswer::NoServer("the slot is moving".to_owned());
        let importing = timeout_at(deadline, self.shared.importing.lock());
        let mut importing = importing.await.map_err(busy)?;
        let at = self.shared.finder.last().translated(&to);
        importing::run(&mut importing, &self.shared.finder, at, request, deadline).await
    }
}

impl KeyConnection for SlotOwner {
    fn run(&self, request: KeyRequest) -> Carried<(Value, ConnectionNumber)> {
        Box::pin(self.clone().carry(request))
    }

    fn read_all(&self, commands: Vec<Cmd>) -> Carried<Vec<RedisResult<Value>>> {
        // No pipeline: each of them may have to go to another node.
        let reads = commands.into_iter().map(KeyRequest::Command);
        let reads: Vec<_> = reads.map(|read| self.run(read)).collect();
        Box::pin(async move {
            let answers = join_all(reads).await.into_iter();
            let answers = answers.map(|answer| match answer {
                Ok((value, _)) => Ok(Ok(value)),
                Err(NoAnswer::Error(error)) => Ok(Err(error)),
                Err(none) => Err(none),
            });
            answers.collect()
        })
    }
}
