//! Workers under a supervisor: the supervisor is killed, workers crash in all ways, are reloaded a
//! thousand times, and have a broken new version.

use std::fs::{Permissions, read_dir, read_to_string, rename, set_permissions, write};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tidings_supervisor::{Backoff, ReloadStrategy, Supervisor, SupervisorEvent, WorkerState};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::role::{Role, WORKERS};
use crate::row::{Effort, Outcome};

/// The time after which no worker of a killed supervisor may be left.
pub(super) const ORPHANED: Duration = Duration::from_secs(2);

/// The time limit from a crash until all workers are ready, without the backoff.
pub(super) const RECOVERED: Duration = Duration::from_secs(3);

/// The time limit of a reload.
pub(super) const RELOADED: Duration = Duration::from_secs(3);

/// The time in which a new version must get ready.
pub(super) const READY: Duration = Duration::from_secs(3);

/// The time limit of steps that are not measured.
const PATIENCE: Duration = Duration::from_secs(30);

const LOOK: Duration = Duration::from_millis(1);

/// A worker that does not run is killed after this time.
const WATCHDOG: Duration = Duration::from_secs(1);

/// The growth that is not yet a leak.
const GROWTH: u64 = 4 << 10;

/// A fault of workers or of their supervisor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Workers {
    Orphaned,
    Dying,
    Reloaded,
    Broken,
}

impl Workers {
    pub(super) const ALL: [Self; 4] = [Self::Orphaned, Self::Dying, Self::Reloaded, Self::Broken];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Orphaned => "workers: supervisor killed (SIGKILL)",
            Self::Dying => "workers: crashes of all kinds",
            Self::Reloaded => "workers: reloads",
            Self::Broken => "workers: broken new version",
        }
    }

    pub(super) fn figure(self) -> &'static str {
        match self {
            Self::Orphaned => "last worker gone",
            Self::Dying => "all ready, without the backoff",
            Self::Reloaded => "all replaced",
            Self::Broken => "reload fails with its reason",
        }
    }

    pub(super) fn limit(self) -> Duration {
        match self {
            Self::Orphaned => ORPHANED,
            Self::Dying => RECOVERED,
            Self::Reloaded => RELOADED,
            Self::Broken => READY + Duration::from_millis(500),
        }
    }
}

pub(super) async fn run(workers: Workers, effort: Effort) -> Result<Outcome> {
    let times = |all: usize| if effort.quick { all / 5 } else { all };
    match workers {
        Workers::Orphaned => orphan(times(100)).await,
        Workers::Dying => crash(times(300)).await,
        Workers::Reloaded => reload(times(1_000)).await,
        Workers::Broken => deploy_broken_versions(times(20)).await,
    }
}

async fn orphan(times: usize) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut left = 0;
    for _ in 0..times {
        let runtime = tempfile::tempdir()?;
        let mut supervisor = Command::new(std::env::current_exe()?)
            .args(Role::Supervisor.arguments())
            .arg(runtime.path().join("run"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = supervisor.stdout.take().context("stdout is not piped")?;
        let mut lines = BufReader::new(output).lines();
        let mut workers = Vec::new();
        while workers.len() < WORKERS {
            let line = timeout(PATIENCE, lines.next_line()).await??;
            workers.push(line.context("the supervisor ended")?.parse()?);
        }
        supervisor.start_kill()?;
        let began = Instant::now();
        while workers.iter().any(|pid| runs(*pid)) && began.elapsed() < ORPHANED {
            sleep(LOOK).await;
        }
        outcome.took.push(began.elapsed());
        let orphans = workers.iter().filter(|pid| runs(**pid));
        left += orphans.inspect(|pid| signal(**pid, Signal::KILL)).count();
        supervisor.wait().await?;
    }
    let all = times * WORKERS;
    let note = format!("{left} of {all} workers were left after {ORPHANED:?}");
    if left > 0 {
        outcome.findings.push(note.clone());
    }
    outcome.notes.push(note);
    Ok(outcome)
}

/// The ways in which a worker crashes.
const DEATHS: [(&str, Signal); 7] = [
    ("killed", Signal::KILL),
    ("aborted", Signal::ABORT),
    ("exit 0", Signal::USR1),
    ("exit 1", Signal::USR2),
    ("stopped", Signal::STOP),
    ("hangs after STOPPING=1", Signal::HUP),
    ("leaves a child", Signal::INT),
];

async fn crash(times: usize) -> Result<Outcome> {
    let mut fleet = Fleet::start(|it| it).await?;
    let mut outcome = Outcome::default();
    // The first crash of each kind allocates what stays for good.
    for death in 0..DEATHS.len() {
        fleet.crash(death).await?;
    }
    let before = Holdings::at_rest().await;
    for death in 0..times {
        let took = fleet.crash(death).await?;
        outcome.took.push(took);
    }
    fleet.check_all_ready(&mut outcome).await?;
    fleet.check_children(&mut outcome);
    let recovered = outcome.took.len();
    outcome
        .notes
        .push(format!("recovered {recovered} times of {times}"));
    before.compare(&mut outcome).await;
    Ok(outcome)
}

async fn reload(times: usize) -> Result<Outcome> {
    let fleet = Fleet::start(|it| it).await?;
    let mut outcome = Outcome::default();
    for _ in 0..20 {
        fleet.workers.reload(ReloadStrategy::AllAtOnce).await?;
    }
    let before = Holdings::at_rest().await;
    for _ in 0..times {
        let reloaded = fleet.workers.reload(ReloadStrategy::AllAtOnce).await?;
        ensure!(reloaded.workers == WORKERS, "{reloaded:?}");
        outcome.took.push(reloaded.took);
    }
    fleet.check_all_ready(&mut outcome).await?;
    before.compare(&mut outcome).await;
    Ok(outcome)
}

async fn deploy_broken_versions(times: usize) -> Result<Outcome> {
    let directory = tempfile::tempdir()?;
    let name = directory.path().join("program");
    deploy(&std::env::current_exe()?, &name)?;
    let fleet = Fleet::of(&name, |it| {
        it.listen("127.0.0.1:0".parse().expect("an address"))
    });
    let fleet = fleet.await?;
    let old_workers = fleet.pids().await?;
    let address: SocketAddr = fleet.workers.addresses()[0].to_string().parse()?;
    let (stop, stopping) = watch::channel(false);
    let clients = tokio::spawn(ask(address, stopping));

    let mut outcome = Outcome::default();
    for time in 0..times {
        let text = match time % 4 {
            // It takes the whole ready timeout to detect.
            0 => "#!/bin/sh\nexec sleep 1000\n",
            1 => "not even a program\n",
            _ => "#!/bin/sh\necho the configuration is wrong >&2\nexit 78\n",
        };
        let version = directory.path().join(format!("version-{time}"));
        write(&version, text)?;
        set_permissions(&version, Permissions::from_mode(0o755))?;
        deploy(&version, &name)?;
        let began = Instant::now();
        let reloaded = fleet.workers.reload(ReloadStrategy::AllAtOnce).await;
        outcome.took.push(began.elapsed());
        if reloaded.is_ok() {
            outcome
                .findings
                .push("the broken version was accepted".to_owned());
        }
    }
    if fleet.pids().await? != old_workers {
        outcome.findings.push("the old workers are gone".to_owned());
    }
    let _ = stop.send(true);
    let (answered, failed) = clients.await?;
    let note = format!("during the reloads {answered} requests were answered, {failed} failed");
    if failed > 0 || answered == 0 {
        outcome.findings.push(note.clone());
    }
    outcome.notes.push(note);
    Ok(outcome)
}

/// Sends one request after the other, and returns the answered and the failed ones.
async fn ask(address: SocketAddr, stopping: watch::Receiver<bool>) -> (u64, u64) {
    let (mut answered, mut failed) = (0, 0);
    while !*stopping.borrow() {
        let request = async {
            let mut connection = TcpStream::connect(address).await?;
            connection.write_u8(1).await?;
            connection.read_u8().await
        };
        match timeout(PATIENCE, request).await {
            Ok(Ok(_)) => answered += 1,
            _ => failed += 1,
        }
        sleep(LOOK).await;
    }
    (answered, failed)
}

/// Replaces the program behind a path.
fn deploy(program: &Path, name: &Path) -> Result<()> {
    let new = name.with_extension("new");
    symlink(program, &new)?;
    Ok(rename(new, name)?)
}

/// Workers that are ready, and the events of their supervisor.
struct Fleet {
    workers: tidings_supervisor::Workers,
    reports: mpsc::UnboundedReceiver<SupervisorEvent>,
    children: mpsc::UnboundedReceiver<u32>,
    _runtime: tempfile::TempDir,
}

impl Fleet {
    async fn start(choose: impl FnOnce(Supervisor) -> Supervisor) -> Result<Self> {
        Self::of(&std::env::current_exe()?, choose).await
    }

    async fn of(program: &Path, choose: impl FnOnce(Supervisor) -> Supervisor) -> Result<Self> {
        let runtime = tempfile::tempdir()?;
        let (report, reports) = mpsc::unbounded_channel();
        let (child, children) = mpsc::unbounded_channel();
        let backoff = Backoff::default()
            .min_delay(Duration::from_millis(10))
            .max_delay(Duration::from_millis(100));
        let supervisor = Supervisor::new(program)
            .args(Role::Worker.arguments())
            .workers(WORKERS)
            .backoff(backoff)
            .crash_loop(usize::MAX, PATIENCE)
            .ready_timeout(READY)
            .watchdog(WATCHDOG)
            .stop_timeout(Duration::from_secs(1))
            .runtime_dir(runtime.path().join("run"))
            .on_event(move |it| drop(report.send(it.clone())))
            .on_line(move |line| {
                let pid = line.text.strip_prefix("child ");
                if let Some(pid) = pid.and_then(|pid| pid.parse().ok()) {
                    let _ = child.send(pid);
                }
            });
        let workers = choose(supervisor).start().await?;
        ensure!(
            timeout(PATIENCE, workers.wait_until_ready()).await?,
            "the supervisor ended"
        );
        Ok(Self {
            workers,
            reports,
            children,
            _runtime: runtime,
        })
    }

    async fn pids(&self) -> Result<Vec<u32>> {
        let status = self
            .workers
            .status()
            .await
            .context("the supervisor ended")?;
        let ready = status
            .workers
            .iter()
            .filter(|it| it.state == WorkerState::Ready);
        Ok(ready.filter_map(|it| it.pid).collect())
    }

    /// Crashes a worker, and returns the time until all are ready again, without the backoff, and
    /// without the watchdog timeout where only the watchdog can detect it.
    async fn crash(&mut self, number: usize) -> Result<Duration> {
        let (how, by) = DEATHS[number % DEATHS.len()];
        let slot = number % WORKERS;
        while self.reports.try_recv().is_ok() {}
        let pid = self.pids().await?[slot];
        let began = Instant::now();
        signal(pid, by);
        let chosen = timeout(PATIENCE, self.recovers(slot)).await;
        let chosen = chosen.with_context(|| format!("{how}: slot {slot} does not recover"))??;
        let noticed = if by == Signal::STOP {
            WATCHDOG
        } else {
            Duration::ZERO
        };
        Ok(began.elapsed().saturating_sub(chosen + noticed))
    }

    async fn recovers(&mut self, slot: usize) -> Result<Duration> {
        let mut chosen = None;
        loop {
            match self.reports.recv().await.context("the supervisor ended")? {
                SupervisorEvent::Restarting { slot: of, delay } if of == slot => {
                    chosen = Some(delay);
                }
                SupervisorEvent::Ready { slot: of, .. } if of == slot && chosen.is_some() => {
                    ensure!(
                        self.workers.wait_until_ready().await,
                        "the supervisor ended"
                    );
                    return chosen.context("no backoff was reported");
                }
                _ => {}
            }
        }
    }

    /// Checks that no child of a worker is left.
    fn check_children(&mut self, outcome: &mut Outcome) {
        while let Ok(child) = self.children.try_recv() {
            if runs(child) {
                signal(child, Signal::KILL);
                outcome
                    .findings
                    .push(format!("child process {child} is left"));
            }
        }
    }

    /// Checks that there are exactly N workers, all of them ready.
    async fn check_all_ready(&self, outcome: &mut Outcome) -> Result<()> {
        let began = Instant::now();
        loop {
            let status = self
                .workers
                .status()
                .await
                .context("the supervisor ended")?;
            let ready = status
                .workers
                .iter()
                .filter(|it| it.state == WorkerState::Ready);
            let (ready, all) = (ready.count(), status.workers.len());
            if (ready, all) == (WORKERS, WORKERS) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                let finding = format!("{all} workers at the end, {ready} of them ready");
                outcome.findings.push(finding);
                return Ok(());
            }
            sleep(LOOK).await;
        }
    }
}

/// The descriptors and the memory of this process.
#[derive(Clone, Copy, Debug)]
struct Holdings {
    descriptors: usize,
    /// In KiB.
    resident: u64,
}

impl Holdings {
    async fn at_rest() -> Self {
        // Let old workers end, and their events be received.
        sleep(Duration::from_secs(2)).await;
        let status = read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.split_whitespace().next()?.parse().ok());
        Self {
            descriptors: read_dir("/proc/self/fd").map_or(0, Iterator::count),
            resident: resident.unwrap_or(0),
        }
    }

    async fn compare(self, outcome: &mut Outcome) {
        let after = Self::at_rest().await;
        let note = format!(
            "descriptors {} before and {} after, resident {} KiB before and {} KiB after",
            self.descriptors, after.descriptors, self.resident, after.resident
        );
        if after.descriptors > self.descriptors || after.resident > self.resident + GROWTH {
            outcome.findings.push(note.clone());
        }
        outcome.notes.push(note);
    }
}

fn runs(pid: u32) -> bool {
    let stat = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
    state.is_some_and(|state| !b"ZX".contains(&state))
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // The process may have ended.
        let _ = kill_process(pid, signal);
    }
}
