//! Starts workers, on a thread of its own.
//!
//! A worker is killed when the thread that started it ends, not only when its process does: that is
//! how `PR_SET_PDEATHSIG` works. So no thread of a runtime starts any, since those come and go; and
//! when the supervisor is gone, its thread ends, and with it whoever is left.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::identity::Identity;
use crate::listen::Listeners;
use crate::program;
use crate::sys;
use crate::worker::Process;

/// How many starts may wait for the thread; whoever wants another waits.
const QUEUE: usize = 64;

/// What is said by the supervisor or by nobody: what our own told us is not meant for workers.
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

/// What all workers have in common.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Beside that of this process; without a value it is taken away.
    pub(crate) environment: Vec<(OsString, Option<OsString>)>,
    /// Nothing of this process's environment.
    pub(crate) is_environment_clear: bool,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) identity: Option<Identity>,
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) watchdog: Option<Duration>,
}

/// Gives work to the thread; with the last of these it ends.
#[derive(Clone, Debug)]
pub(crate) struct Spawner {
    requests: mpsc::Sender<StartRequest>,
}

#[derive(Debug)]
struct StartRequest {
    slot: usize,
    notify: PathBuf,
    started: oneshot::Sender<io::Result<Process>>,
}

impl Spawner {
    /// And what resolves when the thread is gone, and the sockets with it.
    pub(crate) fn start(launch: Launch) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let (requests, mut waiting) = mpsc::channel::<StartRequest>(QUEUE);
        let (end, gone) = oneshot::channel();
        let work = move || {
            while let Some(request) = waiting.blocking_recv() {
                let started = launch.spawn(request.slot, &request.notify);
                // Where nobody waits for it any more, now or before it is taken, its drop ends it.
                let _ = request.started.send(started.map(Process::new));
            }
            drop(launch);
            drop(end);
        };
        thread::Builder::new()
            .name("supervisor".to_owned())
            .spawn(work)?;
        Ok((Self { requests }, gone))
    }

    /// Starts a worker, which hears where to say that it is ready.
    pub(crate) async fn spawn(&self, slot: usize, notify: &Path) -> io::Result<Process> {
        let (started, answer) = oneshot::channel();
        let notify = notify.to_owned();
        let request = StartRequest {
            slot,
            notify,
            started,
        };
        let gone = || io::Error::other("the thread that starts workers is gone");
        self.requests.send(request).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Launch {
    fn spawn(&self, slot: usize, notify: &Path) -> io::Result<Child> {
        let program = program::find(&self.program).map_err(io::Error::other)?;
        let mut command = Command::new(&program);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal is for the supervisor alone; and all that a worker starts can be
            // killed with it.
            .process_group(0);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let plan = sys::Plan {
            program: &program,
            arguments: self.arguments()?,
            environment: self.environment(slot, notify)?,
            sockets: &self.listeners.sockets,
            identity: self.identity,
        };
        sys::spawn(&mut command, plan)
    }

    fn arguments(&self) -> io::Result<Vec<CString>> {
        let name = self.program.as_os_str();
        let all = std::iter::once(name).chain(self.arguments.iter().map(OsString::as_os_str));
        all.map(|it| Ok(CString::new(it.as_bytes())?)).collect()
    }

    fn environment(&self, slot: usize, notify: &Path) -> io::Result<Vec<CString>> {
        let mut all: Vec<(OsString, OsString)> = Vec::new();
        let mut of_user = Vec::new();
        if !self.is_environment_clear {
            all.extend(std::env::vars_os().filter(|(name, _)| !is_reserved(name)));
            of_user.extend(self.identity.iter().flat_map(|it| it.environment()));
        }
        // Nor may anybody else say what the supervisor says.
        let given = of_user.iter().chain(&self.environment);
        for (name, value) in given.filter(|(name, _)| !is_reserved(name)) {
            all.retain(|(known, _)| known != name);
            all.extend(value.clone().map(|value| (name.clone(), value)));
        }
        let mut set = |name: &str, value: OsString| all.push((name.into(), value));
        set("WORKER_ID", slot.to_string().into());
        set("NOTIFY_SOCKET", notify.into());
        let listeners = &self.listeners;
        if !listeners.sockets.is_empty() {
            set("LISTEN_FDS", listeners.sockets.len().to_string().into());
            set("LISTEN_FDNAMES", listeners.names.join(":").into());
        }
        if let Some(watchdog) = self.watchdog {
            set("WATCHDOG_USEC", watchdog.as_micros().to_string().into());
        }
        all.into_iter().map(pair).collect()
    }
}

fn is_reserved(name: &OsStr) -> bool {
    RESERVED.iter().any(|it| name == *it)
}

fn pair((mut name, value): (OsString, OsString)) -> io::Result<CString> {
    name.push("=");
    name.push(value);
    Ok(CString::new(name.into_vec())?)
}
