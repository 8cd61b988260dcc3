//! `tidings stop`: stops a supervisor and its workers.

use std::process::ExitCode;

use anyhow::Context as _;
use tidings_supervisor::RemoteSupervisor;

use crate::args::Stop;
use crate::commands::exit_code;
use crate::terminal::{Style, paint, print, workers};

pub(crate) async fn stop(args: &Stop) -> anyhow::Result<ExitCode> {
    let remote = RemoteSupervisor::find(args.name.as_deref()).await?;
    let name = remote.name();
    let stopped = if args.now {
        remote.kill().await
    } else {
        remote.stop().await
    };
    let stopped = stopped.with_context(|| format!("cannot stop {name}"))?;
    print(match stopped.killed {
        0 => format!("{} {name}: stopped", paint(Style::Success, "✓")),
        killed => format!(
            "{} {name}: stopped, {} had to be killed",
            paint(Style::Warning, "!"),
            workers(killed)
        ),
    });
    Ok(exit_code(stopped))
}
