//! Workers that are replaced under load, again and again: no request is lost.

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
use super::Outcome;

const WORKERS: usize = 4;

/// Clients that keep their connection, and clients that connect anew for each request.
const KEEPING: usize = 15;
const LEAVING: usize = 5;

/// How long there are only requests, before each reload and after the last one.
const BETWEEN: Duration = Duration::from_millis(200);

/// Who asks less often than that in a reload proves nothing.
const ENOUGH: u64 = 100;

/// A start, or a reload, that takes longer is over.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where `cargo xtask faults` puts the package and its scripts; without them it is left out.
const RECLUSTER: &str = "target/faults-peers";

/// How workers are replaced.
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
        "{times} reloads of {WORKERS} workers, asked by {} clients, of whom {LEAVING} connect anew for \
         each request: {counts}",
        KEEPING + LEAVING
    ));

    let plain = Ours::start(strategy, &["--drain-timeout", "0"]).await?;
    let (_, counts) = under_load(plain, times).await?;
    let note = format!("the same with axum's graceful shutdown and no drain: {counts}");
    outcome.notes.push(note);
    if reloads == Reloads::AllAtOnce {
        outcome.notes.push(beside_recluster(times).await);
    }
    Ok(outcome)
}

async fn beside_recluster(times: usize) -> String {
    let measured = async {
        let fleet = Recluster::start().await?;
        under_load(fleet, times).await
    };
    match measured.await {
        Ok((_, counts)) => format!("recluster 1.0.0, with as many reloads and clients: {counts}"),
        Err(error) => format!("recluster is left out: {error:#}"),
    }
}

/// Workers that can be replaced.
trait Fleet {
    fn at(&self) -> SocketAddr;

    /// Until all are replaced, and those before them gone.
    async fn reload(&mut self) -> Result<()>;
}

/// How long each reload took, and what became of the requests.
async fn under_load(mut fleet: impl Fleet, times: usize) -> Result<(Vec<Duration>, Counts)> {
    let load = Load::start(fleet.at(), KEEPING, LEAVING);
    let mut took = Vec::new();
    for _ in 0..times {
        sleep(BETWEEN).await;
        let began = Instant::now();
        let reloaded = timeout(PATIENCE, fleet.reload()).await;
        reloaded.context("a reload does not end")??;
        took.push(began.elapsed());
    }
    sleep(BETWEEN).await;
    Ok((took, load.end().await))
}

/// The example `server`, under our supervisor.
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
            "it has ended"
        );
        Ok(Self {
            at: workers.addresses()[0].to_string().parse()?,
            workers,
            strategy,
            _runtime: runtime,
        })
    }

    async fn is_draining(&self) -> Result<bool> {
        let status = self.workers.status().await.context("it has ended")?;
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

/// Beside our own program, where cargo puts examples.
fn server() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().context("a program lies in a folder")?;
    let server = folder.join("examples").join("server");
    let cure = "cargo build --package tidings-supervisor --example server";
    ensure!(server.exists(), "{} is missing: {cure}", server.display());
    Ok(server)
}

/// A server of node's under recluster, which is killed when this is dropped.
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
        ensure!(is_there, "there is no {RECLUSTER}/node_modules");
        let mut child = Command::new("node")
            .arg(folder.join("recluster.cjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("it is a pipe")?;
        let orders = child.stdin.take().context("it is a pipe")?;
        let mut said = BufReader::new(stdout).lines();
        let mut port = 0;
        for _ in 0..WORKERS {
            let line = hear(&mut said, "listening").await?;
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
        hear(&mut self.said, "reloaded").await?;
        for _ in 0..WORKERS {
            hear(&mut self.said, "gone").await?;
        }
        Ok(())
    }
}

/// Waits for this word; what stands behind it.
async fn hear(said: &mut Lines<BufReader<ChildStdout>>, word: &str) -> Result<String> {
    loop {
        let line = timeout(PATIENCE, said.next_line()).await;
        let line = line.with_context(|| format!("it does not say `{word}`"))??;
        let line = line.context("it has ended")?;
        if let Some(rest) = line.strip_prefix(word) {
            return Ok(rest.trim().to_owned());
        }
    }
}
