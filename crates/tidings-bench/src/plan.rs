//! Which runs are made, and how one run is made: a Redis, a process that hears, one that sends.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::de::DeserializeOwned;
use tidings_testkit::Redis;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::hearer::Heard;
use crate::report::{self, Row};
use crate::sender::{Load, Sent};

/// The channel of what is sent without tidings.
pub(crate) const CHANNEL: &str = "bench";

/// How long a run may take.
const DEADLINE: Duration = Duration::from_mins(2);

/// What to measure.
#[derive(Args, Debug)]
pub(crate) struct Plan {
    /// How often each row is measured; the rounds are interleaved.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Prints the results as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Only rows whose name contains this.
    #[arg(long)]
    pub(crate) only: Option<String>,
}

/// Who sends and hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// The redis crate by hand, 256 publishes in flight.
    Redis,
    /// tidings, writing JSON.
    Json,
    /// tidings, writing `MessagePack`.
    Msgpack,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) peer: Peer,
    pub(crate) load: Load,
    pub(crate) events: u64,
}

const fn scenario(name: &'static str, peer: Peer, load: Load, events: u64) -> Scenario {
    Scenario {
        name,
        peer,
        load,
        events,
    }
}

const SLOW: Load = Load::Rate { per_second: 1_000 };
const BRISK: Load = Load::Rate { per_second: 5_000 };

/// The rows: those of the redis crate are what the others are compared with.
const SCENARIOS: &[Scenario] = &[
    scenario("await each", Peer::Redis, Load::Await, 20_000),
    scenario("await each", Peer::Json, Load::Await, 20_000),
    scenario("256 tasks", Peer::Redis, Load::Tasks, 300_000),
    scenario("256 tasks", Peer::Json, Load::Tasks, 800_000),
    scenario("256 tasks", Peer::Msgpack, Load::Tasks, 800_000),
    scenario("feed", Peer::Redis, Load::Feed, 300_000),
    scenario("feed", Peer::Json, Load::Feed, 2_000_000),
    scenario("feed", Peer::Msgpack, Load::Feed, 4_000_000),
    scenario("1,000/s", Peer::Redis, SLOW, 3_000),
    scenario("1,000/s", Peer::Json, SLOW, 3_000),
    scenario("5,000/s", Peer::Redis, BRISK, 15_000),
    scenario("5,000/s", Peer::Json, BRISK, 15_000),
];

/// What one run measured.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) sent: Sent,
    pub(crate) heard: Heard,
    pub(crate) redis_cpu_ns: u64,
}

pub(crate) async fn run(plan: &Plan) -> anyhow::Result<()> {
    let redis = Redis::start().await;
    let wanted = |scenario: &&Scenario| {
        let name = format!("{} {:?}", scenario.name, scenario.peer).to_lowercase();
        plan.only
            .as_ref()
            .is_none_or(|only| name.contains(&only.to_lowercase()))
    };
    let mut rows: Vec<Row> = SCENARIOS
        .iter()
        .filter(wanted)
        .copied()
        .map(Row::new)
        .collect();
    for round in 1..=plan.rounds {
        for row in &mut rows {
            if !plan.json {
                eprint!(
                    "\rround {round} of {}: {:<12} {:?}   ",
                    plan.rounds, row.scenario.name, row.scenario.peer
                );
            }
            let run = measure(&redis, row.scenario).await;
            row.runs
                .push(run.with_context(|| format!("in {:?}", row.scenario))?);
        }
    }
    if plan.json {
        report::json(&rows)
    } else {
        report::table(&rows)
    }
}

async fn measure(redis: &Redis, scenario: Scenario) -> anyhow::Result<Run> {
    let before = redis_cpu_ns(redis).await?;
    let (url, events) = (redis.url(), scenario.events.to_string());
    let peer = scenario
        .peer
        .to_possible_value()
        .context("every peer has a name")?;
    let (peer, lanes) = (peer.get_name(), scenario.load.lanes().to_string());
    let mut hearer = Copy::start(&["hear", peer, &url, &events, &lanes])?;
    hearer
        .line()
        .await
        .context("the hearer does not get ready")?;
    let load = scenario.load.words();
    let mut sender = Copy::start(&[&["send", peer, &url, &events], &*load].concat())?;
    let sent: Sent = sender.result().await.context("the sender")?;
    let heard: Heard = hearer.result().await.context("the hearer")?;
    let redis_cpu_ns = redis_cpu_ns(redis).await? - before;
    Ok(Run {
        sent,
        heard,
        redis_cpu_ns,
    })
}

/// A copy of this program in a role; it ends with its owner.
struct Copy {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Copy {
    fn start(words: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(words);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let stdout = child.stdout.take().context("it was asked for")?;
        Ok(Self {
            _child: child,
            lines: BufReader::new(stdout).lines(),
        })
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let line = tokio::time::timeout(DEADLINE, self.lines.next_line()).await??;
        line.context("it ended without a result")
    }

    async fn result<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        Ok(serde_json::from_str(&self.line().await?)?)
    }
}

/// Nanoseconds that Redis has spent on processors.
async fn redis_cpu_ns(redis: &Redis) -> anyhow::Result<u64> {
    let info = redis.cli(&["INFO", "cpu"]).await;
    let seconds = info.lines().filter_map(|line| {
        let (name, value) = line.trim().split_once(':')?;
        matches!(name, "used_cpu_sys" | "used_cpu_user").then(|| value.parse::<f64>().ok())?
    });
    let seconds: f64 = seconds.sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is positive"
    )]
    Ok((seconds * 1e9) as u64)
}
