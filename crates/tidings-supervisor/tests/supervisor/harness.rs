//! A supervisor of workers that misbehave as told, and a record of its events.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tidings_supervisor::{
    Backoff, ListenAddress, OutputLine, Supervisor, SupervisorEvent, Workers,
};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;

pub(crate) use crate::directory::short_directory;
use tokio::time::{sleep, timeout};

/// A generous deadline for slow machines.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The interval at which conditions are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Returns the example that misbehaves, which cargo builds with the tests.
pub(crate) fn misbehaving() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples/misbehaving");
    assert!(
        program.exists(),
        "{} is built by `cargo build --examples`",
        program.display()
    );
    program
}

/// A running supervisor, with all its events and lines. Its workers are killed at the end of the
/// test's runtime.
pub(crate) struct TestSupervisor {
    pub(crate) workers: Workers,
    pub(crate) events: Recorder<SupervisorEvent>,
    pub(crate) lines: Recorder<OutputLine>,
    _directory: TempDir,
}

/// A supervisor that is not started yet.
pub(crate) struct Builder {
    supervisor: Supervisor,
    events: Recorder<SupervisorEvent>,
    lines: Recorder<OutputLine>,
    directory: TempDir,
}

/// Builds a supervisor of workers that take these steps, with short delays and a directory of its own.
pub(crate) fn workers_that(steps: &[&str]) -> Builder {
    workers_of(&misbehaving(), steps)
}

pub(crate) fn workers_of(program: &Path, steps: &[&str]) -> Builder {
    let directory = short_directory();
    let (events, lines) = (Recorder::default(), Recorder::default());
    let (event, line) = (events.clone(), lines.clone());
    let supervisor = Supervisor::new(program)
        .args(steps)
        .workers(1)
        .backoff(Backoff::default().min_delay(10 * MS).max_delay(50 * MS))
        .crash_loop(1_000, SECOND)
        .ready_timeout(DEADLINE)
        .stop_timeout(DEADLINE)
        .runtime_dir(directory.path().join("run"))
        .on_event(move |it| event.record(it.clone()))
        .on_line(move |it| line.record(it.clone()));
    Builder {
        supervisor,
        events,
        lines,
        directory,
    }
}

impl Builder {
    pub(crate) fn with(mut self, choose: impl FnOnce(Supervisor) -> Supervisor) -> Self {
        self.supervisor = choose(self.supervisor);
        self
    }

    /// Records each line only after `wait` has returned.
    pub(crate) fn lines_after(self, mut wait: impl FnMut() + Send + 'static) -> Self {
        let lines = self.lines.clone();
        self.with(|it| {
            it.on_line(move |line| {
                wait();
                lines.record(line.clone());
            })
        })
    }

    pub(crate) fn workers(self, workers: usize) -> Self {
        self.with(|it| it.workers(workers))
    }

    pub(crate) fn listening(self) -> Self {
        self.with(|it| it.listen("127.0.0.1:0".parse().unwrap()))
    }

    pub(crate) fn supervisor(self) -> Supervisor {
        self.supervisor
    }

    pub(crate) async fn start(self) -> TestSupervisor {
        TestSupervisor {
            workers: self.supervisor.start().await.unwrap(),
            events: self.events,
            lines: self.lines,
            _directory: self.directory,
        }
    }

    /// Starts the supervisor, and waits until all workers are ready.
    pub(crate) async fn ready(self) -> TestSupervisor {
        let supervisor = self.start().await;
        supervisor.is_ready().await;
        supervisor
    }
}

impl TestSupervisor {
    pub(crate) async fn is_ready(&self) {
        let ready = timeout(DEADLINE, self.workers.wait_until_ready()).await;
        assert_eq!(ready, Ok(true), "{:#?}", self.events);
    }

    /// Returns the processes that are not stopping, by their slots.
    pub(crate) async fn pids(&self) -> Vec<u32> {
        let status = self.workers.status().await.unwrap();
        let running = status.workers.into_iter().filter(|worker| {
            use tidings_supervisor::WorkerState::{Ready, Starting};
            matches!(worker.state, Ready | Starting)
        });
        running.filter_map(|worker| worker.pid).collect()
    }

    pub(crate) async fn says(&self, text: &str) -> OutputLine {
        let is_it = |line: &&OutputLine| line.text == text;
        self.lines.first(|line| is_it(&line)).await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.workers.addresses()[0].to_string().parse().unwrap()
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// Returns the slot and the process id of the worker that responds.
    pub(crate) async fn ask(&self) -> (usize, u32) {
        self.connect().await.ask().await
    }
}

/// A connection to workers with the step `serve`.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(to).await.unwrap()))
    }

    pub(crate) async fn send(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.0.write_all(line.as_bytes()).await.unwrap();
    }

    pub(crate) async fn response(&mut self) -> (usize, u32) {
        let mut line = String::new();
        let read = timeout(DEADLINE, self.0.read_line(&mut line)).await;
        read.expect("a response in time").unwrap();
        let (slot, pid) = line.trim().split_once(' ').unwrap_or_else(|| {
            panic!("no response: {line:?}");
        });
        (slot.parse().unwrap(), pid.parse().unwrap())
    }

    pub(crate) async fn ask(&mut self) -> (usize, u32) {
        self.send("request").await;
        self.response().await
    }
}

/// A record of events or lines.
pub(crate) struct Recorder<T> {
    all: Arc<Mutex<Vec<T>>>,
    count: watch::Sender<usize>,
}

impl<T> Clone for Recorder<T> {
    fn clone(&self) -> Self {
        Self {
            all: Arc::clone(&self.all),
            count: self.count.clone(),
        }
    }
}

impl<T> Default for Recorder<T> {
    fn default() -> Self {
        Self {
            all: Arc::default(),
            count: watch::Sender::new(0),
        }
    }
}

impl<T: Debug> Debug for Recorder<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// The number of last items, which usually show what went wrong.
        const SHOWN: usize = 50;
        let all = self.all.lock().unwrap();
        let last = &all[all.len().saturating_sub(SHOWN)..];
        write!(f, "{} items, the last ones: ", all.len())?;
        last.fmt(f)
    }
}

impl<T: Clone + Debug> Recorder<T> {
    fn record(&self, it: T) {
        self.all.lock().unwrap().push(it);
        self.count.send_modify(|count| *count += 1);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.all.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, is_it: impl Fn(&T) -> bool) -> usize {
        self.all().iter().filter(|it| is_it(it)).count()
    }

    /// Waits until `look` finds something.
    pub(crate) async fn until<R>(&self, look: impl Fn(&[T]) -> Option<R>) -> R {
        let mut count = self.count.subscribe();
        let found = async {
            loop {
                count.borrow_and_update();
                if let Some(found) = look(&self.all.lock().unwrap()) {
                    return found;
                }
                count.changed().await.unwrap();
            }
        };
        let found = timeout(DEADLINE, found).await;
        found.unwrap_or_else(|_| panic!("not received in time: {self:#?}"))
    }

    pub(crate) async fn first(&self, is_it: impl Fn(&T) -> bool) -> T {
        self.until(|all| all.iter().find(|it| is_it(it)).cloned())
            .await
    }

    pub(crate) async fn times(&self, times: usize, is_it: impl Fn(&T) -> bool) {
        self.until(|all| (all.iter().filter(|it| is_it(it)).count() >= times).then_some(()))
            .await;
    }
}

impl Recorder<OutputLine> {
    /// Joins the parts of lines. Parts of the last line may be missing.
    pub(crate) fn whole(all: &[OutputLine]) -> Vec<OutputLine> {
        let mut whole: Vec<OutputLine> = Vec::new();
        for line in all {
            let source = |it: &&mut OutputLine| (it.pid, it.stream) == (line.pid, line.stream);
            match whole
                .iter_mut()
                .rev()
                .find(source)
                .filter(|it| it.is_partial)
            {
                Some(begun) => {
                    begun.text.push_str(&line.text);
                    begun.is_partial = line.is_partial;
                }
                None => whole.push(line.clone()),
            }
        }
        whole
    }
}

/// Set in a process that runs a single test.
const ALONE: &str = "TIDINGS_TEST_ALONE";

/// Returns true in a process that runs only this test. Elsewhere it starts such a process, checks that
/// the test passes there, and returns false. It is for tests of children, descriptors, threads and ports,
/// which other tests of the same process would change.
///
/// `test` is the test's name as the test program lists it.
pub(crate) fn is_alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let is_passed = output.status.success() && stdout.contains("1 passed");
    assert!(is_passed, "{}: {stdout}{stderr}", output.status);
    false
}

/// Polls a condition until it is true.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let polling = async {
        while !is_so() {
            sleep(POLL_INTERVAL).await;
        }
    };
    let seen = timeout(DEADLINE, polling).await;
    assert!(seen.is_ok(), "not in time: {what}");
}

pub(crate) async fn all_gone(pids: &[u32]) {
    eventually("all are gone", || pids.iter().all(|pid| !runs(*pid))).await;
}

/// Returns whether the process exists and is no zombie.
pub(crate) fn runs(pid: u32) -> bool {
    #[cfg(target_os = "linux")]
    {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| &rest[..1]);
        state.is_some_and(|state| !"ZX".contains(state))
    }
    #[cfg(not(target_os = "linux"))]
    rustix::process::test_kill_process(process(pid)).is_ok()
}

pub(crate) fn process(pid: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap()
}

pub(crate) fn kill(pid: u32, signal: rustix::process::Signal) {
    rustix::process::kill_process(process(pid), signal).unwrap();
}

/// Replaces the program behind a name, atomically.
pub(crate) fn deploy(program: &Path, as_name: &Path) {
    let new = as_name.with_extension("new");
    symlink(program, &new).unwrap();
    std::fs::rename(&new, as_name).unwrap();
}

/// Creates an executable script.
pub(crate) fn script(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join(format!("script-{}", text.len()));
    let source = path.with_extension("text");
    std::fs::write(&source, text).unwrap();
    copy(&source, &path);
    set_mode(&path, 0o755);
    path
}

/// Copies a program. This process does not write it: a child of another test could hold it open, and a
/// file that is open for writing cannot be executed.
pub(crate) fn copy(program: &Path, to: &Path) {
    let copied = std::process::Command::new("cp")
        .args([program, to])
        .status();
    assert!(copied.unwrap().success());
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

pub(crate) fn local(name: &str) -> ListenAddress {
    format!("{name}=127.0.0.1:0").parse().unwrap()
}
