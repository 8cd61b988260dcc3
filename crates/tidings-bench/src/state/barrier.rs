//! A barrier: all processes of a run begin at the same moment.

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use serde::Serialize;

use super::task::Task;
use crate::process::{Process, Program, print_ready};

/// The list that processes wait on, and the longest wait in seconds.
const GATE: &str = "gate";
const PATIENCE: u32 = 60;

/// Connects without a response timeout.
pub(super) async fn connect(url: &str) -> anyhow::Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let client = redis::Client::open(url)?;
    Ok(client
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}

/// Starts a process of a run.
pub(super) fn start(task: Task, url: &str, work: &impl Serialize) -> anyhow::Result<Process> {
    let program = Program(vec![std::env::current_exe()?.into()]);
    program.start([
        "state-process",
        task.name(),
        url,
        &serde_json::to_string(work)?,
    ])
}

/// Waits until all processes are ready.
pub(super) async fn all_ready(processes: &mut [Process]) -> anyhow::Result<()> {
    for process in processes {
        process.ready().await?;
    }
    Ok(())
}

/// Lets this many processes begin.
pub(super) async fn open(url: &str, processes: usize) -> anyhow::Result<()> {
    let passes = vec!["pass"; processes];
    redis::cmd("RPUSH")
        .arg(GATE)
        .arg(passes)
        .exec_async(&mut connect(url).await?)
        .await?;
    Ok(())
}

/// In a process of a run: prints `ready`, and waits until it may begin.
pub(super) async fn wait(url: &str) -> anyhow::Result<()> {
    let mut connection = connect(url).await?;
    print_ready();
    redis::cmd("BLPOP")
        .arg(GATE)
        .arg(PATIENCE)
        .exec_async(&mut connection)
        .await?;
    Ok(())
}
