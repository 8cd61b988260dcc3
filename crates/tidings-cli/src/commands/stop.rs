//! `tidings stop`: stops a supervisor and its workers.

use anyhow::Context as _;
use serde_json::json;
use tidings_supervisor::RemoteSupervisor;

use crate::app::App;
use crate::args::Stop;
use crate::commands::exit_of;
use crate::exit::Exit;
use crate::output;
use crate::terminal::{Style, paint, workers};

pub(crate) async fn stop(app: &App, args: &Stop) -> anyhow::Result<Exit> {
    let remote = RemoteSupervisor::find(args.name.as_deref()).await?;
    let name = remote.name();
    let stopped = if args.now {
        remote.kill().await
    } else {
        remote.stop().await
    };
    let stopped = stopped.with_context(|| format!("cannot stop {name}"))?;
    if app.is_json() {
        output::json(&json!({ "name": name, "killed": stopped.killed }))?;
        return Ok(exit_of(stopped));
    }
    output::result(match stopped.killed {
        0 => format!("{} {name}: stopped", paint(Style::Success, "✓")),
        killed => format!(
            "{} {name}: stopped, {} had to be killed",
            paint(Style::Warning, "!"),
            workers(killed)
        ),
    })?;
    Ok(exit_of(stopped))
}
