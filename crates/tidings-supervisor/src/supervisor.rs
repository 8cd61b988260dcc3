//! The settings of a supervisor, and its start.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

use crate::awake::timeout_awake;
use crate::backoff::Backoff;
use crate::command::View;
use crate::control::{self, ControlServer};
use crate::error::StartError;
use crate::event::SupervisorEvent;
use crate::event_loop::{EventLoop, Info};
use crate::fleet::{CrashLoop, Fleet, MAX_WORKERS, Policy};
use crate::identity::Identity;
use crate::listen::{ListenAddress, Listeners};
use crate::output::{Callbacks, Output, OutputLine};
use crate::program;
use crate::ready::ReadyWhen;
use crate::runtime_dir::{RuntimeDir, runtime_dir};
use crate::spawn::{Launch, Program, Spawner};
use crate::stop_signal::StopSignal;
use crate::worker::WorkerContext;
use crate::workers::Workers;

/// The capacity of the queues of commands and of worker events. Senders wait when they are full.
const QUEUE: usize = 256;

/// The time in which the last lines and events must be read after the last worker has exited.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs several worker processes of a program.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use tidings_supervisor::Supervisor;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let workers = Supervisor::new("./my-server")
///     .args(["--fast"])
///     .workers(4)
///     .listen("127.0.0.1:9999".parse()?)
///     .stop_timeout(Duration::from_secs(10))
///     .start()
///     .await?;
/// workers.wait_until_ready().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a supervisor does nothing before it is started"]
pub struct Supervisor {
    program: Program,
    user: Option<String>,
    group: Option<String>,
    listen: Vec<ListenAddress>,
    stop_signal: StopSignal,
    policy: Policy,
    name: Option<String>,
    runtime_dir: Option<PathBuf>,
    callbacks: Callbacks,
}

impl Supervisor {
    /// Creates a supervisor of a program: a path, or a name that is searched in `PATH`. It is resolved
    /// at each start of a worker, and passes through no shell.
    pub fn new(program: impl AsRef<Path>) -> Self {
        Self {
            program: Program {
                path: program.as_ref().to_owned(),
                ..Program::default()
            },
            user: None,
            group: None,
            listen: Vec::new(),
            stop_signal: StopSignal::default(),
            policy: Policy {
                workers: thread::available_parallelism()
                    .map_or(1, usize::from)
                    .min(MAX_WORKERS),
                ready_when: ReadyWhen::default(),
                ready_timeout: Duration::from_secs(30),
                stop_timeout: Duration::from_secs(30),
                backoff: Backoff::default(),
                crash_loop: CrashLoop {
                    deaths: 10,
                    within: Duration::from_mins(10),
                },
                watchdog: None,
            },
            name: None,
            runtime_dir: None,
            callbacks: Callbacks::default(),
        }
    }

    /// Adds arguments of the program.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter().map(|it| it.as_ref().to_owned());
        self.program.arguments.extend(arguments);
        self
    }

    /// Sets a variable of the workers' environment, which is otherwise that of this process. Variables
    /// that are reserved for the supervisor, such as `WORKER_ID`, `LISTEN_FDS` and `TIDINGS_RUNTIME_DIR`,
    /// cannot be set, and those of this process are not passed on.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let value = Some(value.as_ref().to_owned());
        let variable = (name.as_ref().to_owned(), value);
        self.program.environment.push(variable);
        self
    }

    /// Removes a variable from the workers' environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        let variable = (name.as_ref().to_owned(), None);
        self.program.environment.push(variable);
        self
    }

    /// Passes nothing of this process's environment to the workers, only what [`env`](Self::env) and
    /// the supervisor set.
    pub fn env_clear(mut self) -> Self {
        self.program.is_environment_clear = true;
        self
    }

    /// Sets the workers' working directory; by default that of this process.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.program.current_dir = Some(directory.into());
        self
    }

    /// Runs workers as this user, by name or number. This requires root.
    ///
    /// Workers have no supplementary groups, cannot switch back, and on Linux can run no program that
    /// grants more privileges. `HOME`, `USER` and `LOGNAME` are those of the user, unless
    /// [`env`](Self::env) or [`env_clear`](Self::env_clear) say otherwise.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the group of [`user`](Self::user), by name or number; by default the user's own. Without a
    /// user, [`start`](Self::start) fails.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Sets the number of workers; by default the number of processors. Each worker knows the number of
    /// its slot, from 0, as `WORKER_ID`.
    pub fn workers(mut self, workers: usize) -> Self {
        self.policy.workers = workers;
        self
    }

    /// Adds a socket that is opened once and passed to every worker as by systemd: as descriptors from 3
    /// on, in this order, with `LISTEN_FDS`, `LISTEN_FDNAMES` and `LISTEN_PID`. No other descriptor of
    /// this process is passed on.
    pub fn listen(mut self, address: ListenAddress) -> Self {
        self.listen.push(address);
        self
    }

    /// Sets when a worker is ready; by default when it sends a notification.
    pub fn ready_when(mut self, ready_when: ReadyWhen) -> Self {
        self.policy.ready_when = ready_when;
        self
    }

    /// Sets the time after which a worker that is not ready is stopped and counts as dead; 30 s by
    /// default.
    pub fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.policy.ready_timeout = timeout;
        self
    }

    /// Sets the signal that tells a worker to stop; SIGTERM by default.
    pub fn stop_signal(mut self, signal: StopSignal) -> Self {
        self.stop_signal = signal;
        self
    }

    /// Sets the time after which a worker that was told to stop is killed with its process group; 30 s
    /// by default. Zero kills at once.
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.policy.stop_timeout = timeout;
        self
    }

    /// Sets the delay before a slot starts another worker after a death.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.policy.backoff = backoff;
        self
    }

    /// Sets the number of deaths within a period after which a slot starts no more workers until a
    /// reload; 10 in 10 minutes by default. Workers that never get ready count as well. When all slots
    /// have failed, the supervisor stops.
    pub fn crash_loop(mut self, deaths: usize, within: Duration) -> Self {
        self.policy.crash_loop = CrashLoop { deaths, within };
        self
    }

    /// Kills a ready worker that does not call [`notify_watchdog`](crate::notify_watchdog) within this
    /// time. Off by default. Workers know the time in microseconds as `WATCHDOG_USEC`, and should notify
    /// twice as often.
    pub fn watchdog(mut self, timeout: Duration) -> Self {
        self.policy.watchdog = Some(timeout);
        self
    }

    /// Opens a control socket under this name, through which
    /// [`RemoteSupervisor`](crate::RemoteSupervisor) and `tidings ps`, `reload`, `scale` and `stop` of
    /// the same user reach the supervisor. Only one supervisor can have a name. By default there is no
    /// control socket.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the directory for the sockets of supervisors. The default is `TIDINGS_RUNTIME_DIR`, else for
    /// root `/run/tidings`, else `tidings` below `XDG_RUNTIME_DIR`, else a directory of this user below
    /// the temporary directory. Sockets that are removed there are created again within 250 ms.
    pub fn runtime_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.runtime_dir = Some(path.into());
        self
    }

    /// Calls this for each line that a worker writes. By default lines are written to the same stream of
    /// this process, after the number of the slot.
    ///
    /// The callback runs on a thread of its own. If it is slow, workers block in their writes once 1,024
    /// lines are queued. Lines of a worker that has died are dropped after 3 s, which is
    /// [reported](SupervisorEvent::LinesDropped), and all lines 5 s after the last worker has exited.
    pub fn on_line(mut self, on_line: impl FnMut(&OutputLine) + Send + 'static) -> Self {
        self.callbacks.on_line = Some(Box::new(on_line));
        self
    }

    /// Calls this for each event, on the thread of [`on_line`](Self::on_line) and before queued lines. By
    /// default events are logged with `tracing`. Once 1,024 are queued, further ones are dropped, which
    /// is [reported](SupervisorEvent::EventsDropped).
    pub fn on_event(mut self, on_event: impl FnMut(&SupervisorEvent) + Send + 'static) -> Self {
        self.callbacks.on_event = Some(Box::new(on_event));
        self
    }

    /// Opens the sockets, and begins to start the workers. [`Workers::wait_until_ready`] waits for them.
    ///
    /// # Errors
    ///
    /// When a setting cannot be used: an address in use, a program that is missing or that every user
    /// can write, a working directory that is missing, a reserved variable, a user that this process
    /// cannot become, a name that is taken.
    pub async fn start(self) -> Result<Workers, StartError> {
        if !(1..=MAX_WORKERS).contains(&self.policy.workers) {
            return Err(StartError::WorkerCount(self.policy.workers));
        }
        program::find(&self.program.path)?;
        self.program.check_current_dir()?;
        self.program.check_environment()?;
        self.check_ready_address()?;
        let identity = self.identity()?;
        let (runtime_dir, listeners) = self.open(identity).await?;
        self.spawn(identity, Arc::new(runtime_dir), Arc::new(listeners))
    }

    /// Rejects a readiness address that a worker inherits: it accepts connections before its start.
    fn check_ready_address(&self) -> Result<(), StartError> {
        let ReadyWhen::Accepts(address) = self.policy.ready_when else {
            return Ok(());
        };
        match self.listen.iter().find(|it| it.is_reached_at(address)) {
            None => Ok(()),
            Some(listen) => Err(StartError::Listen {
                address: listen.to_string(),
                source: io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "workers inherit this socket, so it cannot show whether they are ready: wait for \
                     their notification, or for another address",
                ),
            }),
        }
    }

    fn identity(&self) -> Result<Option<Identity>, StartError> {
        match (&self.user, &self.group) {
            (Some(user), group) => Identity::find(user, group.as_deref()).map(Some),
            (None, None) => Ok(None),
            (None, Some(group)) => Err(StartError::User {
                user: String::new(),
                why: format!("the group `{group}` is given without a user"),
            }),
        }
    }

    async fn open(
        &self,
        identity: Option<Identity>,
    ) -> Result<(RuntimeDir, Listeners), StartError> {
        let runtime = self.runtime_dir.clone().unwrap_or_else(runtime_dir);
        let is_for_others = identity.is_some_and(Identity::is_another);
        let (name, listen) = (self.name.clone(), self.listen.clone());
        let opened = spawn_blocking(move || {
            let runtime_dir = RuntimeDir::take(&runtime, name.as_deref(), is_for_others)?;
            Ok((runtime_dir, Listeners::open(&listen)?))
        });
        let opened = opened.await.map_err(|source| StartError::Io {
            doing: "open the runtime directory and the sockets",
            source: source.into(),
        });
        opened?
    }

    /// Starts the threads and the event loop.
    fn spawn(
        self,
        identity: Option<Identity>,
        runtime_dir: Arc<RuntimeDir>,
        listeners: Arc<Listeners>,
    ) -> Result<Workers, StartError> {
        let io = |doing| move |source| StartError::Io { doing, source };
        let (output, written) =
            Output::start(self.callbacks).map_err(io("start the thread for output"))?;
        let info = Info {
            name: runtime_dir.name(),
            command: self.program.command_line(),
            listen: listeners
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect(),
        };
        let addresses = listeners.addresses.as_slice().into();
        let launch = Launch {
            program: self.program,
            identity,
            listeners,
            watchdog: self.policy.watchdog,
        };
        let (spawner, closed) =
            Spawner::start(launch).map_err(io("start the thread for workers"))?;
        let (commands, command_receiver) = mpsc::channel(QUEUE);
        let (events, event_receiver) = mpsc::channel(QUEUE);
        let (view, view_receiver) = watch::channel(View::default());
        let workers = Workers::new(commands, view_receiver, addresses);
        let control = if self.name.is_some() {
            let control = control::serve(Arc::clone(&runtime_dir), workers.downgrade());
            Some(control.map_err(io("open the control socket"))?)
        } else {
            None
        };
        let context = WorkerContext {
            spawner,
            runtime_dir,
            identity,
            output,
            ready_when: self.policy.ready_when,
            stop_signal: self.stop_signal,
            events,
        };
        let fleet = Fleet::start(self.policy, rand::random, Instant::now());
        let event_loop = EventLoop::new(
            fleet,
            info,
            command_receiver,
            event_receiver,
            context,
            view.clone(),
        );
        tokio::spawn(run(event_loop, [written, closed], control, view));
        Ok(workers)
    }
}

/// Runs the event loop. Publishes the result when output is written and all sockets are closed, so that
/// their name and addresses can be used again.
async fn run(
    event_loop: EventLoop,
    threads: [oneshot::Receiver<()>; 2],
    control: Option<ControlServer>,
    view: watch::Sender<View>,
) {
    let stopped = event_loop.run().await;
    let [written, closed] = threads;
    let _ = timeout_awake(FLUSH_TIMEOUT, async { tokio::join!(written, closed) }).await;
    if let Some(control) = control {
        control.stop(stopped).await;
    }
    view.send_modify(|view| view.stopped = Some(stopped));
}
