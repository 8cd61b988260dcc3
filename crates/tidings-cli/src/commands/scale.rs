//! `tidings scale`: changes the number of workers.

use std::process::ExitCode;

use anyhow::Context as _;
use tidings_supervisor::RemoteSupervisor;

use crate::args::Scale;
use crate::terminal::{Style, paint, print, workers};

pub(crate) async fn scale(args: &Scale) -> anyhow::Result<ExitCode> {
    let remote = RemoteSupervisor::find(args.name.as_deref()).await?;
    let name = remote.name();
    let scaled = remote.scale(args.workers).await;
    let from = scaled.with_context(|| format!("cannot scale {name}"))?;
    let to = workers(args.workers);
    let change = if from == args.workers {
        format!("already has {to}")
    } else {
        format!("from {from} to {to}")
    };
    print(format_args!(
        "{} {name}: {change}",
        paint(Style::Success, "✓")
    ));
    Ok(ExitCode::SUCCESS)
}
