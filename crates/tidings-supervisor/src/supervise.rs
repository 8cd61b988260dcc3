//! The one task that owns the fleet: it hears what happens, and does what the fleet decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;

use crate::error::{ReloadError, ScaleError};
use crate::fleet::{Action, Fleet, Key, Placed, ReloadStrategy, Reloaded, Ticket};
use crate::output::{LastLines, Output};
use crate::status::Status;
use crate::worker::{self, News, Surroundings, Wish};
use crate::workers::Stopped;

/// A worker is told to end once, and killed twice at most.
const WISHES: usize = 4;

/// What is wanted of the workers.
#[derive(Debug)]
pub(crate) enum Command {
    Reload {
        strategy: ReloadStrategy,
        placed: oneshot::Sender<Placed>,
        done: Done,
    },
    Scale {
        workers: usize,
        done: oneshot::Sender<Result<usize, ScaleError>>,
    },
    Status(oneshot::Sender<Status>),
    End,
    Kill,
}

type Done = oneshot::Sender<Result<Reloaded, ReloadError>>;

/// What others see of the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) are_all_ready: bool,
    pub(crate) stopped: Option<Stopped>,
}

#[derive(Debug)]
pub(crate) struct Supervision {
    pub(crate) fleet: Fleet,
    pub(crate) about: About,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) news: mpsc::Receiver<(Key, News)>,
    pub(crate) surroundings: Surroundings,
    pub(crate) view: watch::Sender<View>,
    pub(crate) living: HashMap<Key, Living>,
    pub(crate) waiting: HashMap<Ticket, Done>,
    pub(crate) tickets: u64,
}

/// What is kept of a worker until its end is told.
#[derive(Debug)]
pub(crate) struct Living {
    wishes: mpsc::Sender<Wish>,
    last_lines: LastLines,
}

/// What does not change.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) command: Arc<[String]>,
    pub(crate) listen: Vec<String>,
}

/// What can happen.
enum Event {
    News(Key, News),
    Command(Command),
    /// Nobody holds the workers any more.
    Abandoned,
    Time,
}

impl Supervision {
    /// Until the last worker is gone; the rest is told when nobody writes for them any more.
    pub(crate) async fn run(mut self) -> Stopped {
        let mut is_abandoned = false;
        loop {
            self.act();
            if let Some(ending) = self.fleet.ended() {
                return ending.into();
            }
            let event = self.next(is_abandoned).await;
            let now = self.fleet.wakes(Instant::now());
            match event {
                Event::News(key, news) => self.hear(key, &news, now),
                Event::Command(command) => self.obey(command, now),
                Event::Abandoned => {
                    is_abandoned = true;
                    self.fleet.kill(now);
                }
                Event::Time => self.tick(now),
            }
        }
    }

    async fn next(&mut self, is_abandoned: bool) -> Event {
        let look = self.fleet.next_look();
        let time = async {
            match look {
                Some(look) => sleep_until(look.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some((key, news)) = self.news.recv() => Event::News(key, news),
            command = self.commands.recv(), if !is_abandoned => {
                command.map_or(Event::Abandoned, Event::Command)
            }
            () = time => Event::Time,
        }
    }

    fn tick(&mut self, now: Instant) {
        // What happened counts before what did not happen in time; no more than the queue holds, so
        // that no flood of news keeps the clock waiting.
        for _ in 0..self.news.len() {
            if let Ok((key, news)) = self.news.try_recv() {
                self.hear(key, &news, now);
            }
        }
        let wrote = |key: Key| self.living.get(&key).map(|it| it.last_lines.take());
        self.fleet.tick(now, &|key| wrote(key).unwrap_or_default());
    }

    fn hear(&mut self, key: Key, news: &News, now: Instant) {
        match news {
            News::Started(pid) => self.fleet.started(key, *pid),
            News::Said(word) => self.fleet.said(key, *word, now),
            News::Ended(ended) => {
                self.living.remove(&key);
                self.fleet.exited(key, ended, now);
            }
        }
    }

    fn obey(&mut self, command: Command, now: Instant) {
        // Whoever does not wait for an answer any more does not need it.
        match command {
            Command::Reload {
                strategy,
                placed,
                done,
            } => {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                self.waiting.insert(ticket, done);
                let _ = placed.send(self.fleet.reload(strategy, ticket, now));
            }
            Command::Scale { workers, done } => {
                let _ = done.send(self.fleet.scale(workers, now));
            }
            Command::Status(done) => {
                let _ = done.send(self.status(now));
            }
            Command::End => self.fleet.end(now),
            Command::Kill => self.fleet.kill(now),
        }
    }

    fn status(&self, now: Instant) -> Status {
        Status {
            name: self.about.name.clone(),
            pid: std::process::id(),
            command: self.about.command.to_vec(),
            listen: self.about.listen.clone(),
            slots: self.fleet.slots(),
            is_reloading: self.fleet.is_reloading(),
            workers: self.fleet.status(now),
        }
    }

    fn act(&mut self) {
        for action in self.fleet.actions() {
            match action {
                Action::Start { worker, slot } => self.start(worker, slot),
                Action::Terminate(key) => self.wish(key, Wish::Terminate),
                Action::Kill(key) => self.wish(key, Wish::Kill),
                Action::Report(event) => self.output().report(event),
                Action::Answer(tickets, outcome) => self.answer(&tickets, &outcome),
            }
        }
        let are_all_ready = self.fleet.are_all_ready();
        self.view.send_if_modified(|view| {
            let changed = view.are_all_ready != are_all_ready;
            view.are_all_ready = are_all_ready;
            changed
        });
    }

    fn output(&self) -> &Output {
        &self.surroundings.output
    }

    fn start(&mut self, key: Key, slot: usize) {
        let (wishes, waiting) = mpsc::channel(WISHES);
        let last_lines = LastLines::default();
        let surroundings = self.surroundings.clone();
        let worker = worker::run(key, slot, waiting, last_lines.clone(), surroundings);
        self.living.insert(key, Living { wishes, last_lines });
        tokio::spawn(worker);
    }

    fn wish(&self, key: Key, wish: Wish) {
        if let Some(living) = self.living.get(&key) {
            // Never full: see `WISHES`. Closed: it is dead, and its end is on the way.
            let _ = living.wishes.try_send(wish);
        }
    }

    fn answer(&mut self, tickets: &[Ticket], outcome: &Result<Reloaded, ReloadError>) {
        for ticket in tickets {
            if let Some(done) = self.waiting.remove(ticket) {
                let _ = done.send(outcome.clone());
            }
        }
    }
}
