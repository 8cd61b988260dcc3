//! A node in a process of its own, which can be made to stand still: it sends, subscribes and puts
//! load on keys. It is told what to do on its standard input, and answers on its standard output.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tidings::{Builder, Bus, NodeId};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::INTERVAL;
use super::load::{Copies, Load, Loaded};
use crate::oracle::Witness;
use crate::roles::Role;
use crate::traffic::{Hearer, PATIENCE, Sender, Sent, until};

/// What it is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) url: String,
    pub(super) lease: Duration,
    pub(super) seed: u64,
}

/// What it is told to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Order {
    /// Stop sending and putting load on keys, once all is well.
    End,
    Look,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Started { receiving: NodeId, sending: NodeId },
    Ended(Ended),
    Looked(Looked),
}

/// What it did.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) sent: Sent,
    pub(super) loaded: Loaded,
}

/// What it received and has.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Looked {
    pub(super) witness: Witness,
    pub(super) copies: Copies,
    /// How many failures were reported to it: frames in its own name, for example.
    pub(super) failures: u64,
}

/// Such a process.
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
        let input = child.stdin.take().context("its input is ours")?;
        let output = child.stdout.take().context("its output is ours")?;
        let mut node = Self {
            receiving: NodeId::new(0),
            sending: NodeId::new(0),
            lease: settings.lease,
            pid: id.and_then(Pid::from_raw).context("it has no id")?,
            input,
            answers: BufReader::new(output).lines(),
            child,
        };
        match node.answer().await? {
            Answer::Started { receiving, sending } => {
                (node.receiving, node.sending) = (receiving, sending);
                Ok(node)
            }
            other => bail!("the node answered {other:?}"),
        }
    }

    /// Lets it stand still, or go on.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid, signal)?)
    }

    pub(super) async fn end(&mut self) -> Result<Ended> {
        match self.ask(Order::End).await? {
            Answer::Ended(ended) => Ok(ended),
            other => bail!("the node answered {other:?}"),
        }
    }

    pub(super) async fn look(&mut self) -> Result<Looked> {
        match self.ask(Order::Look).await? {
            Answer::Looked(looked) => Ok(looked),
            other => bail!("the node answered {other:?}"),
        }
    }

    /// Waits until it has shut down.
    pub(super) async fn shut_down(mut self) -> Result<()> {
        drop(self.input);
        let status = timeout(PATIENCE, self.child.wait()).await??;
        anyhow::ensure!(status.success(), "a node ended with {status}");
        Ok(())
    }

    async fn ask(&mut self, order: Order) -> Result<Answer> {
        let mut line = serde_json::to_string(&order)?;
        line.push('\n');
        self.input.write_all(line.as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Answer> {
        let line = timeout(PATIENCE, self.answers.next_line()).await;
        let line = line.context("a node does not answer")??;
        Ok(serde_json::from_str(&line.context("a node ended")?)?)
    }
}

/// What such a process does.
pub(crate) async fn play_node(settings: &str) -> Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let settings: Settings = serde_json::from_str(settings)?;
    let failures = Arc::new(AtomicU64::new(0));
    let receiving = Hearer::start(describe(&settings, &failures)).await?;
    let mut sending = Sender::start(describe(&settings, &failures)).await?;
    let mut load = Load::start(&receiving.bus, &sending.bus, settings.seed)?;
    say(&Answer::Started {
        receiving: receiving.bus.id(),
        sending: sending.bus.id(),
    })?;
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(order) = orders.next_line().await? {
        say(&match serde_json::from_str(&order)? {
            Order::End => {
                let all_up = || (receiving.bus.ready() && sending.bus.ready()).then_some(());
                until(all_up).await.context("a node does not come back")?;
                Answer::Ended(Ended {
                    sent: sending.end().await,
                    loaded: load.end().await,
                })
            }
            Order::Look => Answer::Looked(Looked {
                witness: receiving.witness(),
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

fn describe(settings: &Settings, failures: &Arc<AtomicU64>) -> Builder {
    let failures = Arc::clone(failures);
    Bus::builder(&settings.url)
        .probe_interval(INTERVAL)
        .lease(settings.lease)
        .on_failure(move |_| {
            failures.fetch_add(1, Relaxed);
        })
}

fn say(answer: &Answer) -> Result<()> {
    let line = serde_json::to_string(answer)?;
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
