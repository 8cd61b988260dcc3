//! A node in a child process, which can be stopped: it sends, receives and puts load on shared
//! state. It reads requests from its standard input, and answers on its standard output.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tidings::{Bus, BusBuilder, NodeId};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::load::{COUNTING, Copies, Load, Loaded};
use crate::oracle::SubscriberLog;
use crate::role::Role;
use crate::traffic::{PATIENCE, Sender, Sent, Subscriber, until};
use tidings_faults::script::INTERVAL;

/// The settings of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) url: String,
    pub(super) lease: Duration,
    pub(super) seed: u64,
}

/// A request to a node.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Request {
    /// Stop sending and the load, once all is healthy.
    End,
    State,
}

/// An answer of a node.
#[derive(Debug, Serialize, Deserialize)]
enum Response {
    Started { receiving: NodeId, sending: NodeId },
    Ended(Ended),
    State(State),
}

/// The results of its sends and its load.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) sent: Sent,
    pub(super) loaded: Loaded,
}

/// The events and copies that it has.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) log: SubscriberLog,
    pub(super) copies: Copies,
    /// Failures reported to it, for example frames in its own name.
    pub(super) failures: u64,
}

/// A node's process.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) receiving: NodeId,
    pub(super) sending: NodeId,
    pub(super) lease: Duration,
    pid: Pid,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    child: Child,
}

impl Node {
    pub(super) async fn start(settings: Settings) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(Role::Node.arguments())
            .arg(serde_json::to_string(&settings)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let input = child.stdin.take().context("stdin is not piped")?;
        let output = child.stdout.take().context("stdout is not piped")?;
        let mut node = Self {
            receiving: NodeId::new(0),
            sending: NodeId::new(0),
            lease: settings.lease,
            pid: id
                .and_then(Pid::from_raw)
                .context("the node has no process id")?,
            input,
            answers: BufReader::new(output).lines(),
            child,
        };
        match node.answer().await? {
            Response::Started { receiving, sending } => {
                (node.receiving, node.sending) = (receiving, sending);
                Ok(node)
            }
            other => bail!("unexpected answer of a node: {other:?}"),
        }
    }

    /// Stops or resumes the process.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid, signal)?)
    }

    pub(super) async fn end(&mut self) -> Result<Ended> {
        match self.ask(Request::End).await? {
            Response::Ended(ended) => Ok(ended),
            other => bail!("unexpected answer of a node: {other:?}"),
        }
    }

    pub(super) async fn state(&mut self) -> Result<State> {
        match self.ask(Request::State).await? {
            Response::State(state) => Ok(state),
            other => bail!("unexpected answer of a node: {other:?}"),
        }
    }

    /// Waits until it has shut down.
    pub(super) async fn shut_down(mut self) -> Result<()> {
        drop(self.input);
        let status = timeout(PATIENCE, self.child.wait()).await??;
        anyhow::ensure!(status.success(), "a node ended with {status}");
        Ok(())
    }

    async fn ask(&mut self, request: Request) -> Result<Response> {
        let mut line = serde_json::to_string(&request)?;
        line.push('\n');
        self.input.write_all(line.as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Response> {
        let line = timeout(PATIENCE, self.answers.next_line()).await;
        let line = line.context("a node did not answer in time")??;
        Ok(serde_json::from_str(&line.context("a node ended")?)?)
    }
}

/// Runs a node in this process.
pub(crate) async fn run_node(settings: &str) -> Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let settings: Settings = serde_json::from_str(settings)?;
    let failures = Arc::new(AtomicU64::new(0));
    let receiving = Subscriber::start(describe(&settings, &failures)).await?;
    let mut sending = Sender::start(describe(&settings, &failures)).await?;
    let mut load = Load::start(&receiving.bus, &sending.bus, COUNTING, settings.seed)?;
    print_line(&Response::Started {
        receiving: receiving.bus.id(),
        sending: sending.bus.id(),
    })?;
    let mut requests = BufReader::new(tokio::io::stdin()).lines();
    while let Some(request) = requests.next_line().await? {
        print_line(&match serde_json::from_str(&request)? {
            Request::End => {
                let all_up = || (receiving.bus.is_ready() && sending.bus.is_ready()).then_some(());
                until(all_up).await.context("a node did not reconnect")?;
                Response::Ended(Ended {
                    sent: sending.end().await,
                    loaded: load.end().await,
                })
            }
            Request::State => Response::State(State {
                log: receiving.log(),
                copies: load.copies().await?,
                failures: failures.load(Relaxed),
            }),
        })?;
    }
    for bus in [&receiving.bus, &sending.bus] {
        bus.shutdown(Duration::from_secs(5)).await?;
    }
    Ok(())
}

fn describe(settings: &Settings, failures: &Arc<AtomicU64>) -> BusBuilder {
    let failures = Arc::clone(failures);
    Bus::builder(&settings.url)
        .heartbeat_interval(INTERVAL)
        .lease(settings.lease)
        .on_failure(move |_| {
            failures.fetch_add(1, Relaxed);
        })
}

fn print_line(answer: &Response) -> Result<()> {
    let line = serde_json::to_string(answer)?;
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
