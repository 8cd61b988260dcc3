//! `tidings scale`: changes the number of workers.

use anyhow::Context as _;
use serde_json::json;
use tidings_supervisor::RemoteSupervisor;

use crate::app::App;
use crate::args::Scale;
use crate::exit::Exit;
use crate::output;
use crate::terminal::{Style, paint, workers};

pub(crate) async fn scale(app: &App, args: &Scale) -> anyhow::Result<Exit> {
    let remote = RemoteSupervisor::find(args.name.as_deref()).await?;
    let name = remote.name();
    let scaled = remote.scale(args.workers).await;
    let from = scaled.with_context(|| format!("cannot scale {name}"))?;
    if app.is_json() {
        output::json(&json!({ "name": name, "from": from, "to": args.workers }))?;
        return Ok(Exit::Done);
    }
    let to = workers(args.workers);
    let change = if from == args.workers {
        format!("already has {to}")
    } else {
        format!("from {from} to {to}")
    };
    output::result(format_args!(
        "{} {name}: {change}",
        paint(Style::Success, "✓")
    ))?;
    Ok(Exit::Done)
}
