//! All that is decided before the start.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

use crate::awake::timeout_awake;
use crate::backoff::Backoff;
use crate::control;
use crate::error::StartError;
use crate::event::SupervisorEvent;
use crate::fleet::{CrashLoop, Fleet, MOST, Policy};
use crate::home::{Home, runtime_dir};
use crate::identity::Identity;
use crate::listen::{ListenAddress, Listeners};
use crate::output::{Output, OutputLine, Readers};
use crate::program;
use crate::ready::ReadyWhen;
use crate::spawn::{Launch, Spawner};
use crate::stop_signal::StopSignal;
use crate::supervise::{About, Supervision, View};
use crate::worker::Surroundings;
use crate::workers::Workers;

/// How many commands, and how much news of workers, may wait for the supervisor's task; whoever has
/// more waits.
const QUEUE: usize = 256;

/// How long the last lines and events may take to be written after the last worker's end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Keeps so many copies of a program running.
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
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    is_environment_clear: bool,
    directory: Option<PathBuf>,
    user: Option<String>,
    group: Option<String>,
    listen: Vec<ListenAddress>,
    stop_signal: StopSignal,
    policy: Policy,
    name: Option<String>,
    runtime: Option<PathBuf>,
    readers: Readers,
}

impl Supervisor {
    /// Of this program: a path, or a name that is looked for in `PATH`. It is looked for anew at each
    /// start of a worker, and no shell ever sees it.
    pub fn new(program: impl AsRef<Path>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            is_environment_clear: false,
            directory: None,
            user: None,
            group: None,
            listen: Vec::new(),
            stop_signal: StopSignal::default(),
            policy: Policy {
                workers: thread::available_parallelism()
                    .map_or(1, usize::from)
                    .min(MOST),
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
            runtime: None,
            readers: Readers::default(),
        }
    }

    /// The program's arguments, each as it is, after those given before.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter().map(|it| it.as_ref().to_owned());
        self.arguments.extend(arguments);
        self
    }

    /// Sets a variable of the workers' environment, which is otherwise that of this process. What the
    /// supervisor tells them itself, as `WORKER_ID` and `LISTEN_FDS`, cannot be set, and its own
    /// `TIDINGS_RUNTIME_DIR` is not passed on.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let value = Some(value.as_ref().to_owned());
        self.environment.push((name.as_ref().to_owned(), value));
        self
    }

    /// Takes a variable away from the workers' environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), None));
        self
    }

    /// Workers get nothing of this process's environment, only what [`env`](Self::env) gives them and
    /// what the supervisor tells them.
    pub fn env_clear(mut self) -> Self {
        self.is_environment_clear = true;
        self
    }

    /// The workers' working directory; that of this process by default.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Workers become this user, by name or number, for good: without supplementary groups, without a
    /// way back, and on Linux without any program that would give them more rights. Only root can do
    /// that. `HOME`, `USER` and `LOGNAME` are those of this user, unless [`env`](Self::env) or
    /// [`env_clear`](Self::env_clear) say otherwise.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The group of [`user`](Self::user), by name or number; the user's own by default. Without a user
    /// it is refused at the start.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// How many workers there are; as many as the machine has processors by default. Each knows the
    /// number of its slot, from 0, as `WORKER_ID`.
    pub fn workers(mut self, workers: usize) -> Self {
        self.policy.workers = workers;
        self
    }

    /// A socket that is opened once, and passed to every worker in the way of systemd: from descriptor
    /// 3 on, in this order, with `LISTEN_FDS`, `LISTEN_FDNAMES` and `LISTEN_PID`. No other descriptor
    /// of this process is passed on.
    pub fn listen(mut self, address: ListenAddress) -> Self {
        self.listen.push(address);
        self
    }

    /// How it is known that a worker can serve; by default it says so.
    pub fn ready_when(mut self, ready_when: ReadyWhen) -> Self {
        self.policy.ready_when = ready_when;
        self
    }

    /// A worker that is not ready within this time counts as dead, and is told to end; 30 s by
    /// default.
    pub fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.policy.ready_timeout = timeout;
        self
    }

    /// The signal by which a worker is told to end; SIGTERM by default.
    pub fn stop_signal(mut self, signal: StopSignal) -> Self {
        self.stop_signal = signal;
        self
    }

    /// How long a worker that was told to end may take to finish what it has; then it is
    /// killed, with all processes of its group. 30 s by default; zero kills at once.
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.policy.stop_timeout = timeout;
        self
    }

    /// How long a slot waits after a death before it starts another worker.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.policy.backoff = backoff;
        self
    }

    /// So many deaths of a slot's workers within so much time, and it starts no more until a reload;
    /// 10 in 10 minutes by default: workers that are never ready come to that as well. When all slots are given up, the supervisor ends.
    pub fn crash_loop(mut self, deaths: usize, within: Duration) -> Self {
        self.policy.crash_loop = CrashLoop { deaths, within };
        self
    }

    /// A worker that is ready and gives no sign of life ([`alive`](crate::notify_watchdog)) for so long is
    /// killed. It knows the time as `WATCHDOG_USEC`, in microseconds, and should use half of it. Off by
    /// default.
    pub fn watchdog(mut self, within: Duration) -> Self {
        self.policy.watchdog = Some(within);
        self
    }

    /// Makes the supervisor known under this name: [`RemoteSupervisor`](crate::Remote), and `tidings ps`,
    /// `reload`, `scale` and `stop`, reach it through a socket that only this user can use. There is
    /// one supervisor of a name. By default it has none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Where supervisors have their sockets. By default `TIDINGS_RUNTIME_DIR`, else of root
    /// `/run/tidings`, else `tidings` in `XDG_RUNTIME_DIR`, else a directory of this user in the
    /// temporary one. What somebody removes there is made again within 250 ms.
    pub fn runtime_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.runtime = Some(path.into());
        self
    }

    /// Is given each line that a worker writes. By default they are passed on, behind the slot's
    /// number. It runs on a thread of its own; while it takes its time, workers wait in their writes
    /// once 1,024 lines wait. What a worker wrote before it died waits for 3 s to be among these; what
    /// is not is missing, and [reported](SupervisorEvent::LinesDropped) as such. What is not taken 5 s after the
    /// last worker's end is lost.
    pub fn on_line(mut self, on_line: impl FnMut(&OutputLine) + Send + 'static) -> Self {
        self.readers.on_line = Some(Box::new(on_line));
        self
    }

    /// Is given each event, on the thread of [`on_line`](Self::on_line) and before the lines that
    /// wait. By default they go to `tracing`. Those for which there is no room, once 1,024 wait, are
    /// counted, and reported as missed.
    pub fn on_event(mut self, on_event: impl FnMut(&SupervisorEvent) + Send + 'static) -> Self {
        self.readers.on_event = Some(Box::new(on_event));
        self
    }

    /// Opens the sockets, and begins to start the workers; [`Workers::ready`] waits for them.
    ///
    /// # Errors
    ///
    /// When something that was asked for cannot be: a socket that is in use, a program that is not
    /// there or that anybody can write, a user that this process cannot become, a name that is taken.
    pub async fn start(self) -> Result<Workers, StartError> {
        if !(1..=MOST).contains(&self.policy.workers) {
            return Err(StartError::WorkerCount(self.policy.workers));
        }
        program::find(&self.program)?;
        self.check_ready()?;
        let identity = self.identity()?;
        let runtime = self.runtime.clone().unwrap_or_else(runtime_dir);
        let is_for_others = identity.is_some_and(Identity::is_another);
        let name = self.name.clone();
        let listen = self.listen.clone();
        let opened = spawn_blocking(move || {
            let home = Home::take(&runtime, name.as_deref(), is_for_others)?;
            Ok::<_, StartError>((home, Listeners::open(&listen)?))
        });
        let opened = opened.await.map_err(|source| StartError::Io {
            doing: "taking a name and opening the sockets",
            source: source.into(),
        })?;
        let (home, listeners) =
            opened.map(|(home, sockets)| (Arc::new(home), Arc::new(sockets)))?;
        let addresses = listeners.addresses.as_slice().into();

        let system = |doing| move |source| StartError::Io { doing, source };
        let (output, written) =
            Output::start(self.readers).map_err(system("starting the thread for output"))?;
        let about = About {
            name: home.name(),
            command: shown(&self.program, &self.arguments),
            listen: listeners
                .addresses
                .iter()
                .map(ListenAddress::to_string)
                .collect(),
        };
        let launch = Launch {
            program: self.program,
            arguments: self.arguments,
            environment: self.environment,
            is_environment_clear: self.is_environment_clear,
            directory: self.directory,
            identity,
            listeners,
            watchdog: self.policy.watchdog,
        };
        let ready_when = self.policy.ready_when;
        let (spawner, closed) =
            Spawner::start(launch).map_err(system("starting the thread for workers"))?;
        let (commands, wanted) = mpsc::channel(QUEUE);
        let (news, happened) = mpsc::channel(QUEUE);
        let (view, seen) = watch::channel(View::default());
        let workers = Workers::new(commands, seen, addresses);
        let control = if self.name.is_some() {
            let serving = control::serve(Arc::clone(&home), workers.downgrade());
            Some(serving.map_err(system("opening the control socket"))?)
        } else {
            None
        };
        let supervision = Supervision {
            fleet: Fleet::begin(self.policy, rand::random, Instant::now()),
            about,
            commands: wanted,
            news: happened,
            surroundings: Surroundings {
                spawner,
                home,
                identity,
                output,
                ready_when,
                stop_signal: self.stop_signal,
                news,
            },
            view: view.clone(),
            living: HashMap::new(),
            waiting: HashMap::new(),
            tickets: 0,
        };
        tokio::spawn(async move {
            let stopped = supervision.run().await;
            // Who is told of the end may take its name and its ports at once.
            let _ = timeout_awake(LAST_WORDS, async { tokio::join!(written, closed) }).await;
            if let Some(control) = control {
                control.end(stopped).await;
            }
            view.send_modify(|view| view.stopped = Some(stopped));
        });
        Ok(workers)
    }

    /// Workers have the supervisor's sockets from their start, so that they would be ready at once.
    fn check_ready(&self) -> Result<(), StartError> {
        let ReadyWhen::Accepts(at) = self.policy.ready_when else {
            return Ok(());
        };
        match self.listen.iter().find(|it| it.is_reached_at(at)) {
            None => Ok(()),
            Some(listen) => Err(StartError::Listen {
                address: listen.to_string(),
                source: io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "workers get this socket from the supervisor, so that it cannot tell who is \
                     ready: let them say so, or let them accept at another address",
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
}

fn shown(program: &Path, arguments: &[OsString]) -> Arc<[String]> {
    let all = std::iter::once(program.as_os_str()).chain(arguments.iter().map(OsString::as_os_str));
    all.map(|it| it.to_string_lossy().into_owned()).collect()
}
