//! The task of one worker process, from its start to its exit. Only this task signals and reaps it.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::awake::timeout_awake;
use crate::exit::Exit;
use crate::fleet::{Key, WorkerExit};
use crate::identity::Identity;
use crate::notify::{Notification, NotifySocket};
use crate::output::{LastLines, Output, OutputStream, Pipe, Source, UnreadLines};
use crate::process::{DeathWatch, Process};
use crate::ready::{ReadyWhen, accepts};
use crate::runtime_dir::{RuntimeDir, restore};
use crate::socket_file::check_interval;
use crate::spawn::Spawner;
use crate::stop_signal::StopSignal;

/// The time that the exit of a worker waits for its last lines, so that they come first.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) enum WorkerEvent {
    Started(u32),
    Notified(Notification),
    Exited(WorkerExit),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerCommand {
    Terminate,
    Kill,
}

/// The state that all workers of a supervisor share.
#[derive(Clone, Debug)]
pub(crate) struct WorkerContext {
    pub(crate) spawner: Spawner,
    pub(crate) runtime_dir: Arc<RuntimeDir>,
    pub(crate) identity: Option<Identity>,
    pub(crate) output: Output,
    pub(crate) ready_when: ReadyWhen,
    pub(crate) stop_signal: StopSignal,
    pub(crate) events: mpsc::Sender<(Key, WorkerEvent)>,
}

/// Runs one worker. Its last event is always its exit.
pub(crate) async fn run(
    key: Key,
    slot: usize,
    commands: mpsc::Receiver<WorkerCommand>,
    last_lines: LastLines,
    context: WorkerContext,
) {
    let worker = Worker {
        key,
        slot,
        commands,
        last_lines: last_lines.clone(),
        context: &context,
    };
    let exit = match worker.run().await {
        Ok(exit) => exit,
        Err(error) => Exit::NotStarted(with_causes(&error)),
    };
    let last_lines = last_lines.take();
    let exited = WorkerEvent::Exited(WorkerExit { exit, last_lines });
    // Closed only when the supervisor is gone.
    let _ = context.events.send((key, exited)).await;
}

/// Returns the text of an error and of its causes.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

struct Worker<'a> {
    key: Key,
    slot: usize,
    commands: mpsc::Receiver<WorkerCommand>,
    last_lines: LastLines,
    context: &'a WorkerContext,
}

impl Worker<'_> {
    async fn run(mut self) -> io::Result<Exit> {
        let mut socket = self.open_socket().await?;
        let mut death = DeathWatch::start()?;
        let spawner = &self.context.spawner;
        let mut process = spawner.spawn(self.slot, socket.path()).await?;
        let (alive, is_alive) = watch::channel(());
        let readers = self.read_output(&mut process, &is_alive)?;
        self.send(WorkerEvent::Started(process.child.id())).await;
        self.supervise(&mut socket, &mut death, &mut process).await;
        // Other notifications of a dead worker do not matter.
        if socket.drain().contains(&Notification::Stopping) {
            self.notify(Notification::Stopping).await;
        }
        let exit = process.reap()?;
        drop(alive);
        pass_on_last_lines(readers).await;
        Ok(exit)
    }

    async fn open_socket(&self) -> io::Result<NotifySocket> {
        let WorkerContext {
            runtime_dir,
            identity,
            ..
        } = self.context;
        restore(runtime_dir).await?;
        NotifySocket::open(runtime_dir.notify_socket(), *identity)
    }

    /// Opens the socket again if it was removed. Until then the worker can send nothing, so each check
    /// counts as a watchdog notification.
    async fn check_socket(&self, socket: &mut NotifySocket) {
        if socket.exists() {
            return;
        }
        // Errors are retried at the next check, and those of the directory logged with the control
        // socket.
        if restore(&self.context.runtime_dir).await.is_ok() {
            let _ = socket.reopen();
        }
        self.notify(Notification::Watchdog).await;
    }

    /// Returns when the process is dead.
    async fn supervise(
        &mut self,
        socket: &mut NotifySocket,
        death: &mut DeathWatch,
        process: &mut Process,
    ) {
        let group = process.child.id();
        let address = self.context.ready_when.address();
        let accepts = async {
            match address {
                Some(address) => accepts(address, group).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(accepts);
        let (mut is_accepting, mut is_abandoned) = (false, false);
        let mut checks = check_interval();
        loop {
            tokio::select! {
                // Death first: a dead worker is not ready.
                biased;
                () = death.wait_for(process) => return,
                command = self.commands.recv(), if !is_abandoned => match command {
                    Some(WorkerCommand::Terminate) => process.send(self.context.stop_signal.into()),
                    Some(WorkerCommand::Kill) => process.kill(),
                    // The event loop was cancelled or panicked.
                    None => {
                        is_abandoned = true;
                        process.kill();
                    }
                },
                Ok(notifications) = socket.receive() => self.forward(notifications).await,
                _ = checks.tick() => self.check_socket(socket).await,
                () = &mut accepts, if !is_accepting => {
                    is_accepting = true;
                    self.notify(Notification::Ready).await;
                }
            }
        }
    }

    async fn forward(&self, notifications: Vec<Notification>) {
        for notification in notifications {
            let is_ready = notification == Notification::Ready;
            if !is_ready || self.context.ready_when == ReadyWhen::Notified {
                self.notify(notification).await;
            }
        }
    }

    fn read_output(
        &self,
        process: &mut Process,
        is_alive: &watch::Receiver<()>,
    ) -> io::Result<JoinSet<UnreadLines>> {
        let child = &mut process.child;
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        let pipes = [
            (OutputStream::Stdout, stdout),
            (OutputStream::Stderr, stderr),
        ];
        let mut readers = JoinSet::new();
        for (stream, pipe) in pipes {
            let source = Source {
                slot: self.slot,
                pid: child.id(),
                stream,
                last_lines: self.last_lines.clone(),
                output: self.context.output.clone(),
            };
            if let Some(pipe) = pipe {
                readers.spawn(Pipe::new(source, pipe)?.pass_on(is_alive.clone()));
            }
        }
        Ok(readers)
    }

    async fn notify(&self, notification: Notification) {
        self.send(WorkerEvent::Notified(notification)).await;
    }

    async fn send(&self, event: WorkerEvent) {
        let _ = self.context.events.send((self.key, event)).await;
    }
}

/// Waits until all output is read, and up to [`LAST_LINES_TIMEOUT`] until it is passed on. The rest is
/// passed on in the background.
async fn pass_on_last_lines(mut readers: JoinSet<UnreadLines>) {
    let mut unread = JoinSet::new();
    while let Some(read) = readers.join_next().await {
        if let Ok(lines) = read {
            unread.spawn(lines.pass_on());
        }
    }
    let all_passed_on = async { while unread.join_next().await.is_some() {} };
    if timeout_awake(LAST_LINES_TIMEOUT, all_passed_on)
        .await
        .is_none()
    {
        unread.detach_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::short_directory;
    use crate::listen::Listeners;
    use crate::output::Callbacks;
    use crate::spawn::{Launch, Program};
    use tokio::time::timeout;

    /// A generous deadline for slow machines.
    const DEADLINE: Duration = Duration::from_secs(30);

    /// A worker that sleeps, and has started.
    struct Sleeper {
        commands: mpsc::Sender<WorkerCommand>,
        events: mpsc::Receiver<(Key, WorkerEvent)>,
    }

    impl Sleeper {
        async fn start(runtime_dir: &std::path::Path) -> Self {
            let program = Program {
                path: "sleep".into(),
                arguments: vec!["1000".into()],
                ..Program::default()
            };
            let (spawner, _) = Spawner::start(Launch {
                program,
                identity: None,
                listeners: Arc::new(Listeners::open(&[]).unwrap()),
                watchdog: None,
            })
            .unwrap();
            let (sender, events) = mpsc::channel(16);
            let context = WorkerContext {
                spawner,
                runtime_dir: Arc::new(RuntimeDir::take(runtime_dir, None, false).unwrap()),
                identity: None,
                output: Output::start(Callbacks::default()).unwrap().0,
                ready_when: ReadyWhen::Notified,
                stop_signal: StopSignal::default(),
                events: sender,
            };
            let (commands, receiver) = mpsc::channel(1);
            tokio::spawn(run(Key(0), 0, receiver, LastLines::default(), context));
            let mut sleeper = Self { commands, events };
            let started = sleeper.next_event().await;
            assert!(matches!(started, WorkerEvent::Started(_)), "{started:?}");
            sleeper
        }

        async fn next_event(&mut self) -> WorkerEvent {
            let event = timeout(DEADLINE, self.events.recv()).await;
            event.unwrap().unwrap().1
        }
    }

    #[tokio::test]
    async fn a_worker_without_an_event_loop_is_killed() {
        let directory = short_directory();
        let mut worker = Sleeper::start(directory.path()).await;

        let (commands, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut worker.commands, commands));

        let exited = worker.next_event().await;
        assert!(
            matches!(&exited, WorkerEvent::Exited(it) if it.exit == Exit::Signal(9)),
            "{exited:?}"
        );
    }

    #[tokio::test]
    async fn a_worker_whose_socket_cannot_be_opened_again_is_not_taken_for_hung() {
        let directory = short_directory();
        let runtime_dir = directory.path().join("run");
        let mut worker = Sleeper::start(&runtime_dir).await;

        std::fs::remove_dir_all(&runtime_dir).unwrap();
        std::fs::write(&runtime_dir, "a file in its place").unwrap();

        for _ in 0..2 {
            let event = worker.next_event().await;
            assert!(
                matches!(event, WorkerEvent::Notified(Notification::Watchdog)),
                "{event:?}"
            );
        }
    }
}
