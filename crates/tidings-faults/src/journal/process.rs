//! A subscriber with a durable name in a child process, which can be killed.

use std::future::{pending, ready};
use std::io::Write as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use tidings::{Bus, Context, Gap, Journal, NodeId};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::fleet::reported;
use super::log::{Handled, Reason, Record, Reported, SubscriberLog};
use super::remains::EVENT;
use crate::script::INTERVAL;

/// The durable name.
const NAME: &str = "accounts";

const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// A line that a child process prints.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Started,
    Handled {
        sender: NodeId,
        number: u64,
        tick: u64,
        position: String,
    },
    Reported {
        sender: Option<NodeId>,
        missed: Option<u64>,
        reason: Reason,
    },
}

/// The child process of a durable subscriber, and its predecessors.
#[derive(Debug)]
pub struct DurableProcess {
    command: [String; 3],
    began: Instant,
    records: Arc<Mutex<Vec<Record>>>,
    child: Child,
}

impl DurableProcess {
    /// Starts this program with these two arguments and the URL of the servers: it has to call
    /// [`run_reader`].
    ///
    /// # Errors
    ///
    /// When the process does not start, or Redis does not answer.
    pub async fn start(role: [&str; 2], url: &str, began: Instant) -> Result<Self> {
        let [one, two] = role.map(str::to_owned);
        let command = [one, two, url.to_owned()];
        let records = Arc::default();
        let child = spawn(&command, &records, began).await?;
        Ok(Self {
            command,
            began,
            records,
            child,
        })
    }

    /// Kills the process (SIGKILL), starts another one, and waits until that has taken over: the
    /// lease of the dead one ends after 15 s.
    ///
    /// # Errors
    ///
    /// When the process does not start, or Redis does not answer.
    pub async fn kill_and_restart(&mut self) -> Result<()> {
        self.child.kill().await?;
        lock(&self.records).push(Record::Restarted);
        self.child = spawn(&self.command, &self.records, self.began).await?;
        let is_taken_over = async {
            while matches!(lock(&self.records).last(), Some(Record::Restarted)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(STARTS_WITHIN, is_taken_over).await?;
        Ok(())
    }

    /// Returns what its processes received.
    pub fn log(&self) -> SubscriberLog {
        SubscriberLog {
            name: NAME.to_owned(),
            is_durable: true,
            records: lock(&self.records).clone(),
        }
    }
}

async fn spawn(
    command: &[String; 3],
    records: &Arc<Mutex<Vec<Record>>>,
    began: Instant,
) -> Result<Child> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(command)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = child.stdout.take().context("stdout is not piped")?;
    let mut lines = BufReader::new(output);
    let mut first = String::new();
    timeout(STARTS_WITHIN, lines.read_line(&mut first)).await??;
    if !matches!(serde_json::from_str(&first), Ok(Line::Started)) {
        bail!("the reader did not start: {first:?}");
    }
    tokio::spawn(keep(lines, Arc::clone(records), began));
    Ok(child)
}

/// Keeps what a process prints, until it ends.
async fn keep(output: BufReader<ChildStdout>, records: Arc<Mutex<Vec<Record>>>, began: Instant) {
    let mut lines = output.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // The last line of a killed process may be cut.
        let Ok(line) = serde_json::from_str(&line) else {
            continue;
        };
        lock(&records).extend(record(line, began.elapsed()));
    }
}

fn record(line: Line, at: Duration) -> Option<Record> {
    match line {
        Line::Started => None,
        Line::Handled {
            sender,
            number,
            tick,
            position,
        } => Some(Record::Handled(Handled {
            sender,
            number,
            tick,
            position: position.parse().ok()?,
            at,
        })),
        Line::Reported {
            sender,
            missed,
            reason,
        } => Some(Record::Reported(Reported {
            sender,
            missed,
            reason,
            at,
        })),
    }
}

/// Runs the subscriber in this process, until it is killed.
///
/// # Errors
///
/// When the process does not start, or Redis does not answer.
pub async fn run_reader(url: &str) -> Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let bus = Bus::builder(url)
        .journal(Journal::default().durable(NAME))
        .heartbeat_interval(INTERVAL)
        .on(EVENT, move |(tick, _): (u64, String), context: Context| {
            if let Some(line) = handled(tick, &context) {
                print(&line);
            }
            ready(())
        })
        .on_gap(|gap: Gap| {
            let Reported {
                sender,
                missed,
                reason,
                ..
            } = reported(&gap, Duration::ZERO);
            print(&Line::Reported {
                sender,
                missed,
                reason,
            });
            ready(())
        });
    // First, so that no event comes before it.
    print(&Line::Started);
    let _bus = bus.start().await?;
    pending().await
}

fn handled(tick: u64, context: &Context) -> Option<Line> {
    Some(Line::Handled {
        sender: (*context.sender())?,
        number: context.sequence()?,
        tick,
        position: context.position()?.to_string(),
    })
}

fn print(line: &Line) {
    // The reader may be gone; this process ends then anyway.
    if let Ok(line) = serde_json::to_string(line) {
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
