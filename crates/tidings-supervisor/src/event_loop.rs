//! The task that owns the fleet: it tells the fleet all events, and carries out its actions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use crate::command::{Command, ReloadDone, View};
use crate::error::ReloadError;
use crate::fleet::{Action, Fleet, Key, Reloaded, Ticket};
use crate::output::LastLines;
use crate::status::{Status, Stopped};
use crate::worker::{self, WorkerCommand, WorkerContext, WorkerEvent};

/// A worker is told to stop once, and killed at most twice.
const WORKER_COMMANDS: usize = 4;

#[derive(Debug)]
pub(crate) struct EventLoop {
    fleet: Fleet,
    info: Info,
    commands: mpsc::Receiver<Command>,
    worker_events: mpsc::Receiver<(Key, WorkerEvent)>,
    context: WorkerContext,
    view: watch::Sender<View>,
    workers: HashMap<Key, WorkerHandle>,
    reloads: HashMap<Ticket, ReloadDone>,
    last_ticket: u64,
}

#[derive(Debug)]
struct WorkerHandle {
    commands: mpsc::Sender<WorkerCommand>,
    last_lines: LastLines,
}

/// The constant part of a status.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    pub(crate) name: String,
    pub(crate) command: Arc<[String]>,
    pub(crate) listen: Vec<String>,
}

enum Event {
    Worker(Key, WorkerEvent),
    Command(Command),
    /// All handles were dropped.
    Abandoned,
    Tick,
}

impl EventLoop {
    pub(crate) fn new(
        fleet: Fleet,
        info: Info,
        commands: mpsc::Receiver<Command>,
        worker_events: mpsc::Receiver<(Key, WorkerEvent)>,
        context: WorkerContext,
        view: watch::Sender<View>,
    ) -> Self {
        Self {
            fleet,
            info,
            commands,
            worker_events,
            context,
            view,
            workers: HashMap::new(),
            reloads: HashMap::new(),
            last_ticket: 0,
        }
    }

    /// Runs until the last worker has exited.
    pub(crate) async fn run(mut self) -> Stopped {
        let mut is_abandoned = false;
        loop {
            self.act();
            if let Some(stopped) = self.fleet.stopped() {
                return stopped;
            }
            let event = self.next(is_abandoned).await;
            self.fleet.advance_clock(Instant::now());
            match event {
                Event::Worker(key, event) => self.handle(key, &event),
                Event::Command(command) => self.execute(command),
                Event::Abandoned => {
                    is_abandoned = true;
                    self.fleet.kill();
                }
                Event::Tick => self.tick(),
            }
        }
    }

    async fn next(&mut self, is_abandoned: bool) -> Event {
        let wakeup = self.fleet.next_wakeup();
        let tick = async {
            match wakeup {
                Some(wakeup) => sleep_until(wakeup.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some((key, event)) = self.worker_events.recv() => Event::Worker(key, event),
            command = self.commands.recv(), if !is_abandoned => {
                command.map_or(Event::Abandoned, Event::Command)
            }
            () = tick => Event::Tick,
        }
    }

    fn tick(&mut self) {
        // An event that has arrived in time counts before a deadline. No more than are queued now, so
        // that a flood of events does not delay the deadlines.
        for _ in 0..self.worker_events.len() {
            if let Ok((key, event)) = self.worker_events.try_recv() {
                self.handle(key, &event);
            }
        }
        let last_lines = |key: Key| self.workers.get(&key).map(|it| it.last_lines.take());
        self.fleet.tick(&|key| last_lines(key).unwrap_or_default());
    }

    fn handle(&mut self, key: Key, event: &WorkerEvent) {
        match event {
            WorkerEvent::Started(pid) => self.fleet.started(key, *pid),
            WorkerEvent::Notified(notification) => self.fleet.notified(key, *notification),
            WorkerEvent::Exited(exit) => {
                self.workers.remove(&key);
                self.fleet.exited(key, exit);
            }
        }
    }

    fn execute(&mut self, command: Command) {
        // A dropped receiver means that the caller no longer waits.
        match command {
            Command::Reload {
                strategy,
                started,
                done,
            } => {
                self.last_ticket += 1;
                let ticket = Ticket(self.last_ticket);
                self.reloads.insert(ticket, done);
                let _ = started.send(self.fleet.reload(strategy, ticket));
            }
            Command::Scale { workers, done } => {
                let _ = done.send(self.fleet.scale(workers));
            }
            Command::Status(done) => {
                let _ = done.send(self.status());
            }
            Command::Stop => self.fleet.stop(),
            Command::Kill => self.fleet.kill(),
        }
    }

    fn status(&self) -> Status {
        Status {
            name: self.info.name.clone(),
            pid: std::process::id(),
            command: self.info.command.to_vec(),
            listen: self.info.listen.clone(),
            slots: self.fleet.slots(),
            is_reloading: self.fleet.is_reloading(),
            workers: self.fleet.status(),
        }
    }

    fn act(&mut self) {
        for action in self.fleet.actions() {
            match action {
                Action::Start { worker, slot } => self.start(worker, slot),
                Action::Terminate(key) => self.command(key, WorkerCommand::Terminate),
                Action::Kill(key) => self.command(key, WorkerCommand::Kill),
                Action::Report(event) => self.context.output.report(event),
                Action::Respond(tickets, result) => self.respond(&tickets, &result),
            }
        }
        let are_all_ready = self.fleet.are_all_ready();
        self.view.send_if_modified(|view| {
            let changed = view.are_all_ready != are_all_ready;
            view.are_all_ready = are_all_ready;
            changed
        });
    }

    fn start(&mut self, key: Key, slot: usize) {
        let (commands, receiver) = mpsc::channel(WORKER_COMMANDS);
        let last_lines = LastLines::default();
        let context = self.context.clone();
        tokio::spawn(worker::run(
            key,
            slot,
            receiver,
            last_lines.clone(),
            context,
        ));
        let handle = WorkerHandle {
            commands,
            last_lines,
        };
        self.workers.insert(key, handle);
    }

    fn command(&self, key: Key, command: WorkerCommand) {
        if let Some(worker) = self.workers.get(&key) {
            // Never full, see `WORKER_COMMANDS`. Closed when the worker is dead and its exit is queued.
            let _ = worker.commands.try_send(command);
        }
    }

    fn respond(&mut self, tickets: &[Ticket], result: &Result<Reloaded, ReloadError>) {
        for ticket in tickets {
            if let Some(done) = self.reloads.remove(ticket) {
                let _ = done.send(result.clone());
            }
        }
    }
}
