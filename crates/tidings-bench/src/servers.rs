//! The servers of a benchmark, the programs of its peers, and the peers that cannot take part.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tidings_testkit::{Cluster, Redis, free_port};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::peers::Peer;
use crate::process::Program;
use crate::rows::{CLUSTERS, Row, Topology};
use crate::run::Endpoint;

/// The time in which nats-server must answer, and the number of ports to try.
const STARTS_WITHIN: Duration = Duration::from_secs(5);
const PORTS_TO_TRY: u32 = 10;

/// The servers of the benchmark. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Servers {
    redis: Redis,
    cluster: Option<Cluster>,
    nats: Option<Nats>,
}

impl Servers {
    /// Starts the servers that the rows need.
    pub(crate) async fn start(rows: &[Row]) -> anyhow::Result<Self> {
        let is_on_cluster = |row: &Row| CLUSTERS.contains(&row.scenario.topology);
        let redis = Redis::start().await;
        let cluster = if rows.iter().any(is_on_cluster) {
            Some(start_cluster().await)
        } else {
            None
        };
        let nats = if rows.iter().any(|row| row.peer == Peer::Nats) {
            Some(Nats::start().await?)
        } else {
            None
        };
        Ok(Self {
            redis,
            cluster,
            nats,
        })
    }

    /// Returns the servers and the program of a peer.
    pub(crate) fn endpoint(&self, topology: Topology, peer: Peer) -> anyhow::Result<Endpoint> {
        let (url, servers) = match topology {
            Topology::Standalone => match &self.nats {
                Some(nats) if peer == Peer::Nats => (nats.url(), vec![nats.process]),
                _ => (self.redis.url(), vec![self.redis.pid()]),
            },
            Topology::Cluster => self.of_cluster("")?,
            Topology::ShardedCluster => self.of_cluster("/?pubsub=sharded")?,
        };
        Ok(Endpoint {
            program: program(peer)?,
            url,
            servers,
        })
    }

    /// The URL and the process ids of the cluster.
    fn of_cluster(&self, options: &str) -> anyhow::Result<(String, Vec<u32>)> {
        let cluster = self.cluster.as_ref().context("no row is on a cluster")?;
        let processes = cluster.servers().map(Redis::pid).collect();
        Ok((cluster.url() + options, processes))
    }
}

/// Starts three masters without replicas. A node that is busy for a while is not down: the timeout is
/// the default of Redis.
async fn start_cluster() -> Cluster {
    let builder = Cluster::builder().replicas(0);
    builder.node_timeout(Duration::from_secs(15)).start().await
}

/// Returns why a peer cannot take part, and how to change that.
pub(crate) fn why_left_out(peer: Peer) -> Option<String> {
    let needs = |path: PathBuf, what: &str| {
        let advice = "`cargo xtask bench` installs it where it can";
        (!path.exists()).then(|| format!("{what} is missing: {advice}"))
    };
    match peer {
        Peer::Fred | Peer::Ruststream if !cfg!(feature = "peers") => {
            Some("built without it: add `--features peers`".to_owned())
        }
        Peer::Nats if !cfg!(feature = "peers") => {
            Some("built without async-nats: add `--features peers`".to_owned())
        }
        Peer::Nats => (!is_on_path("nats-server"))
            .then(|| "nats-server is missing: apt-get install nats-server".to_owned()),
        Peer::Ioredis | Peer::NodeRedis if !is_on_path("node") => {
            Some("node is missing: apt-get install nodejs npm".to_owned())
        }
        Peer::Ioredis => needs(prepared("js/node_modules/ioredis"), "the package ioredis"),
        Peer::NodeRedis => needs(prepared("js/node_modules/redis"), "the package redis"),
        Peer::RedisPy | Peer::Faststream => {
            needs(prepared("python/bin/python"), "its virtual environment")
        }
        _ => None,
    }
}

/// Returns the command line of a peer's processes.
pub(crate) fn program(peer: Peer) -> anyhow::Result<Program> {
    let script = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("peers")
            .join(name)
    };
    let python = prepared("python/bin/python");
    let words: Vec<PathBuf> = match peer {
        Peer::Ioredis => vec!["node".into(), prepared("js/ioredis.mjs")],
        Peer::NodeRedis => vec!["node".into(), prepared("js/node-redis.mjs")],
        Peer::RedisPy => vec![python, script("python/redis_py.py")],
        Peer::Faststream => vec![python, script("python/faststream_peer.py")],
        _ => vec![std::env::current_exe()?],
    };
    Ok(Program(words.into_iter().map(Into::into).collect()))
}

/// The path of a file that `cargo xtask bench` prepares for peers in other languages.
fn prepared(name: &str) -> PathBuf {
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/bench-peers");
    Path::new(target).join(name)
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A nats-server.
#[derive(Debug)]
struct Nats {
    /// A shell that kills the server when its standard input ends, however this process ends.
    _watchdog: Child,
    process: u32,
    port: u16,
}

const WATCHDOG: &str = r#"
exec 3<&0 0</dev/null
nats-server --addr 127.0.0.1 --port "$1" 3<&- >/dev/null 2>&1 &
server=$!
{ read -r _ <&3; kill -KILL "$server"; } &
echo "$server"
wait "$server"
"#;

impl Nats {
    async fn start() -> anyhow::Result<Self> {
        for _ in 0..PORTS_TO_TRY {
            if let Some(nats) = Self::start_on(free_port()).await? {
                return Ok(nats);
            }
        }
        bail!(
            "cannot start nats-server: no answer on {PORTS_TO_TRY} ports within {STARTS_WITHIN:?}"
        )
    }

    async fn start_on(port: u16) -> anyhow::Result<Option<Self>> {
        let mut watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "watchdog", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let stdout = watchdog.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let process = lines
            .next_line()
            .await?
            .context("the watchdog prints the process id")?;
        let nats = Self {
            process: process.parse()?,
            _watchdog: watchdog,
            port,
        };
        Ok(nats.answers().await.then_some(nats))
    }

    async fn answers(&self) -> bool {
        let deadline = Instant::now() + STARTS_WITHIN;
        while Instant::now() < deadline {
            if TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return true;
            }
            sleep(Duration::from_millis(20)).await;
        }
        false
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}
