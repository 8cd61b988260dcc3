//! Workers are reloaded under load, repeatedly, and no request may be lost.

#[allow(dead_code, reason = "the supervisor's own tests use the rest of it")]
#[path = "../../../tidings-supervisor/tests/supervisor/load.rs"]
mod load;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tidings_supervisor::{ListenAddress, ReloadStrategy, Supervisor, WorkerState, Workers};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use self::load::{Counts, Load};
use crate::row::Outcome;

const WORKERS: usize = 4;

/// Clients that keep their connection, and clients that reconnect for each request.
const KEEP_ALIVE: usize = 15;
const RECONNECTING: usize = 5;

/// The time of load without a reload, before each one and after the last one.
const BETWEEN: Duration = Duration::from_millis(200);

/// Fewer requests per reload prove nothing.
const ENOUGH: u64 = 100;

/// The time limit of a start or a reload.
const PATIENCE: Duration = Duration::from_mins(1);

/// The directory in which `cargo xtask faults` installs recluster. Without it recluster is left
/// out.
const RECLUSTER: &str = "target/faults-peers";

/// A reload strategy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reloads {
    AllAtOnce,
    Rolling,
}

impl Reloads {
    pub(super) const ALL: [Self; 2] = [Self::AllAtOnce, Self::Rolling];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AllAtOnce => "workers reloaded under load: all at once",
            Self::Rolling => "workers reloaded under load: rolling",
        }
    }

    fn strategy(self) -> ReloadStrategy {
        match self {
            Self::AllAtOnce => ReloadStrategy::AllAtOnce,
            Self::Rolling => ReloadStrategy::Rolling,
        }
    }
}

pub(super) async fn run(reloads: Reloads, times: usize) -> Result<Outcome> {
    let strategy = reloads.strategy();
    let (took, counts) = under_load(Ours::start(strategy, &[]).await?, times).await?;
    let mut outcome = Outcome {
        took,
        lost: counts.lost(),
        ..Outcome::default()
    };
    if counts.lost() > 0 || counts.answered < ENOUGH * u64::try_from(times)? {
        outcome.findings.push(counts.to_string());
    }
    outcome.notes.push(format!(
        "{times} reloads of {WORKERS} workers, under {} clients, {RECONNECTING} of which reconnect for each request: {counts}",
        KEEP_ALIVE + RECONNECTING
    ));

    let plain = Ours::start(strategy, &["--drain-timeout", "0"]).await?;
    let (_, counts) = under_load(plain, times).await?;
    let note = format!("the same with axum's graceful shutdown and no drain: {counts}");
    outcome.notes.push(note);
    if reloads == Reloads::AllAtOnce {
        outcome.notes.push(compare_recluster(times).await);
    }
    Ok(outcome)
}

async fn compare_recluster(times: usize) -> String {
    let measured = async {
        let fleet = Recluster::start().await?;
        under_load(fleet, times).await
    };
    match measured.await {
        Ok((_, counts)) => format!("recluster 1.0.0, with as many reloads and clients: {counts}"),
        Err(error) => format!("recluster is left out: {error:#}"),
    }
}

/// Workers that can be reloaded.
trait Fleet {
    fn at(&self) -> SocketAddr;

    /// Returns when all workers are replaced and the old ones are gone.
    async fn reload(&mut self) -> Result<()>;
}

/// Returns the time of each reload, and the counts of the requests.
async fn under_load(mut fleet: impl Fleet, times: usize) -> Result<(Vec<Duration>, Counts)> {
    let load = Load::start(fleet.at(), KEEP_ALIVE, RECONNECTING);
    let mut took = Vec::new();
    for _ in 0..times {
        sleep(BETWEEN).await;
        let began = Instant::now();
        let reloaded = timeout(PATIENCE, fleet.reload()).await;
        reloaded.context("the reload did not end in time")??;
        took.push(began.elapsed());
    }
    sleep(BETWEEN).await;
    Ok((took, load.end().await))
}

/// The example `server` of tidings-supervisor.
struct Ours {
    workers: Workers,
    at: SocketAddr,
    strategy: ReloadStrategy,
    _runtime: TempDir,
}

impl Ours {
    async fn start(strategy: ReloadStrategy, arguments: &[&str]) -> Result<Self> {
        let runtime = tempfile::tempdir()?;
        let workers = Supervisor::new(server()?)
            .args(arguments)
            .workers(WORKERS)
            .listen(ListenAddress::tcp((Ipv4Addr::LOCALHOST, 0).into()))
            .runtime_dir(runtime.path())
            .on_line(|_| {})
            .start()
            .await?;
        ensure!(
            timeout(PATIENCE, workers.wait_until_ready()).await?,
            "the process has ended"
        );
        Ok(Self {
            at: workers.addresses()[0].to_string().parse()?,
            workers,
            strategy,
            _runtime: runtime,
        })
    }

    async fn is_draining(&self) -> Result<bool> {
        let status = self
            .workers
            .status()
            .await
            .context("the process has ended")?;
        let mut workers = status.workers.iter();
        Ok(workers.any(|worker| worker.state == WorkerState::Draining))
    }
}

impl Fleet for Ours {
    fn at(&self) -> SocketAddr {
        self.at
    }

    async fn reload(&mut self) -> Result<()> {
        self.workers.reload(self.strategy).await?;
        while self.is_draining().await? {
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

/// The path of the example, where cargo puts it.
fn server() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().context("the program has no directory")?;
    let server = folder.join("examples").join("server");
    let cure = "cargo build --package tidings-supervisor --example server";
    ensure!(server.exists(), "{} is missing: {cure}", server.display());
    Ok(server)
}

/// A Node server under recluster. It is killed when this is dropped.
struct Recluster {
    at: SocketAddr,
    orders: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Recluster {
    async fn start() -> Result<Self> {
        let folder = Path::new(RECLUSTER);
        let is_there = folder.join("node_modules").exists();
        ensure!(is_there, "{RECLUSTER}/node_modules is missing");
        let mut child = Command::new("node")
            .arg(folder.join("recluster.cjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("a stream is not piped")?;
        let orders = child.stdin.take().context("a stream is not piped")?;
        let mut said = BufReader::new(stdout).lines();
        let mut port = 0;
        for _ in 0..WORKERS {
            let line = wait_for(&mut said, "listening").await?;
            port = line.parse()?;
        }
        Ok(Self {
            at: (Ipv4Addr::LOCALHOST, port).into(),
            orders,
            said,
            _child: child,
        })
    }
}

impl Fleet for Recluster {
    fn at(&self) -> SocketAddr {
        self.at
    }

    async fn reload(&mut self) -> Result<()> {
        self.orders.write_all(b"reload\n").await?;
        wait_for(&mut self.said, "reloaded").await?;
        for _ in 0..WORKERS {
            wait_for(&mut self.said, "gone").await?;
        }
        Ok(())
    }
}

/// Waits for a line with this prefix, and returns the rest of it.
async fn wait_for(said: &mut Lines<BufReader<ChildStdout>>, word: &str) -> Result<String> {
    loop {
        let line = timeout(PATIENCE, said.next_line()).await;
        let line = line.with_context(|| format!("recluster did not print `{word}`"))??;
        let line = line.context("the process has ended")?;
        if let Some(rest) = line.strip_prefix(word) {
            return Ok(rest.trim().to_owned());
        }
    }
}
