//! Lets the processes of a run begin at the same moment.

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use serde::Serialize;

use super::Task;
use crate::process::{Process, Program};
use crate::say_ready;

/// Where those who are ready wait, and for how many seconds at most.
const GATE: &str = "gate";
const PATIENCE: u32 = 60;

/// A connection without a time-out of its own.
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
    program.start(["keep", task.name(), url, &serde_json::to_string(work)?])
}

/// Waits until all of them are ready.
pub(super) async fn all_ready(processes: &mut [Process]) -> anyhow::Result<()> {
    for process in processes {
        process.ready().await?;
    }
    Ok(())
}

/// Lets so many of them begin.
pub(super) async fn open(url: &str, processes: usize) -> anyhow::Result<()> {
    let passes = vec!["pass"; processes];
    redis::cmd("RPUSH")
        .arg(GATE)
        .arg(passes)
        .exec_async(&mut connect(url).await?)
        .await?;
    Ok(())
}

/// In a process of a run: says that it is ready, and waits until it may begin.
pub(super) async fn wait(url: &str) -> anyhow::Result<()> {
    let mut connection = connect(url).await?;
    say_ready();
    redis::cmd("BLPOP")
        .arg(GATE)
        .arg(PATIENCE)
        .exec_async(&mut connection)
        .await?;
    Ok(())
}
