//! Starts workers on a thread of its own.
//!
//! With `PR_SET_PDEATHSIG` a worker is killed when the *thread* that started it ends, not the process.
//! So no thread of a runtime starts workers, because those come and go. When the supervisor is gone, its
//! thread ends, and all workers that are left with it.

use std::ffi::{CString, OsStr, OsString};
use std::fs::metadata;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::error::{ProgramError, StartError};
use crate::identity::Identity;
use crate::listen::Listeners;
use crate::process::Process;
use crate::program;
use crate::sys;

/// The capacity of the queue of start requests. Senders wait when it is full.
const QUEUE: usize = 64;

/// Variables that only the supervisor sets. Its own values of them are not meant for workers.
const RESERVED: [&str; 9] = [
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "TIDINGS_RUNTIME_DIR",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "WORKER_ID",
];

/// The program of the workers.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Changes to the inherited environment; without a value, a variable is removed.
    pub(crate) environment: Vec<(OsString, Option<OsString>)>,
    pub(crate) is_environment_clear: bool,
    pub(crate) current_dir: Option<PathBuf>,
}

/// The settings that all workers share.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: Program,
    pub(crate) identity: Option<Identity>,
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) watchdog: Option<Duration>,
}

/// Sends start requests to the thread, which ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Spawner {
    requests: mpsc::Sender<StartRequest>,
}

#[derive(Debug)]
struct StartRequest {
    slot: usize,
    notify_socket: PathBuf,
    started: oneshot::Sender<io::Result<Process>>,
}

impl Program {
    /// Rejects variables that only the supervisor sets.
    pub(crate) fn check_environment(&self) -> Result<(), StartError> {
        for (name, value) in &self.environment {
            if value.is_some() && is_reserved(name) {
                let name = name.to_string_lossy().into_owned();
                return Err(StartError::ReservedVariable(name));
            }
        }
        Ok(())
    }

    /// Rejects a working directory that is missing: the error of a start does not say what is.
    pub(crate) fn check_current_dir(&self) -> Result<(), ProgramError> {
        let Some(path) = &self.current_dir else {
            return Ok(());
        };
        let checked = match metadata(path) {
            Ok(found) if !found.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
            checked => checked.map(drop),
        };
        let path = path.clone();
        checked.map_err(|source| ProgramError::WorkingDirectory { path, source })
    }

    /// Returns the program and its arguments, to be shown.
    pub(crate) fn command_line(&self) -> Arc<[String]> {
        let all = self.words().map(|it| it.to_string_lossy().into_owned());
        all.collect()
    }

    fn words(&self) -> impl Iterator<Item = &OsStr> {
        let arguments = self.arguments.iter().map(OsString::as_os_str);
        std::iter::once(self.path.as_os_str()).chain(arguments)
    }
}

impl Spawner {
    /// Starts the thread. The receiver resolves when it has ended and closed the sockets.
    pub(crate) fn start(launch: Launch) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let (requests, mut receiver) = mpsc::channel::<StartRequest>(QUEUE);
        let (end, ended) = oneshot::channel();
        let work = move || {
            while let Some(request) = receiver.blocking_recv() {
                let started = launch.spawn(request.slot, &request.notify_socket);
                // If the receiver is gone, dropping the process kills it.
                let _ = request.started.send(started.map(Process::new));
            }
            drop(launch);
            drop(end);
        };
        thread::Builder::new()
            .name("supervisor".to_owned())
            .spawn(work)?;
        Ok((Self { requests }, ended))
    }

    /// Starts a worker with this notify socket.
    pub(crate) async fn spawn(&self, slot: usize, notify_socket: &Path) -> io::Result<Process> {
        let (started, process) = oneshot::channel();
        let request = StartRequest {
            slot,
            notify_socket: notify_socket.to_owned(),
            started,
        };
        let ended = || io::Error::other("the thread that starts workers has ended");
        self.requests.send(request).await.map_err(|_| ended())?;
        process.await.map_err(|_| ended())?
    }
}

impl Launch {
    fn spawn(&self, slot: usize, notify_socket: &Path) -> io::Result<Child> {
        let program = program::find(&self.program.path).map_err(io::Error::other)?;
        self.program.check_current_dir().map_err(io::Error::other)?;
        let mut command = Command::new(&program);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal reaches the supervisor alone, and processes that a worker starts can
            // be killed with it.
            .process_group(0);
        if let Some(directory) = &self.program.current_dir {
            command.current_dir(directory);
        }
        let exec = sys::Exec {
            program: &program,
            arguments: self.arguments()?,
            environment: self.environment(slot, notify_socket)?,
            sockets: &self.listeners.sockets,
            identity: self.identity,
        };
        sys::spawn(&mut command, exec)
    }

    fn arguments(&self) -> io::Result<Vec<CString>> {
        let words = self.program.words();
        words.map(|it| Ok(CString::new(it.as_bytes())?)).collect()
    }

    fn environment(&self, slot: usize, notify_socket: &Path) -> io::Result<Vec<CString>> {
        let mut all: Vec<(OsString, OsString)> = Vec::new();
        let mut of_user = Vec::new();
        if !self.program.is_environment_clear {
            all.extend(std::env::vars_os().filter(|(name, _)| !is_reserved(name)));
            of_user.extend(self.identity.iter().flat_map(|it| it.environment()));
        }
        let changes = of_user.iter().chain(&self.program.environment);
        for (name, value) in changes {
            all.retain(|(known, _)| known != name);
            all.extend(value.clone().map(|value| (name.clone(), value)));
        }
        let mut set = |name: &str, value: OsString| all.push((name.into(), value));
        set("WORKER_ID", slot.to_string().into());
        set("NOTIFY_SOCKET", notify_socket.into());
        let listeners = &self.listeners;
        if !listeners.sockets.is_empty() {
            set("LISTEN_FDS", listeners.sockets.len().to_string().into());
            set("LISTEN_FDNAMES", listeners.names.join(":").into());
        }
        if let Some(watchdog) = self.watchdog {
            set("WATCHDOG_USEC", watchdog.as_micros().to_string().into());
        }
        all.into_iter().map(to_variable).collect()
    }
}

fn is_reserved(name: &OsStr) -> bool {
    RESERVED.iter().any(|it| name == *it)
}

fn to_variable((mut name, value): (OsString, OsString)) -> io::Result<CString> {
    name.push("=");
    name.push(value);
    Ok(CString::new(name.into_vec())?)
}
