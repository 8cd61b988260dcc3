//! `tidings reload`

use std::process::ExitCode;

use anyhow::Context as _;
use tidings_supervisor::RemoteSupervisor;

use crate::args::{Reload, strategy};
use crate::terminal::{Style, paint, say, workers};

pub(crate) async fn reload(args: &Reload) -> anyhow::Result<ExitCode> {
    let remote = RemoteSupervisor::find(args.name.as_deref()).await?;
    let name = remote.name();
    let failed = || format!("{name} is not reloaded");
    let wanted = strategy(args.rolling);
    let reloading = remote.start_reload(wanted).await;
    let reloading = reloading.with_context(failed)?;
    if reloading.is_queued() {
        say(paint(
            Style::Calm,
            format_args!("{name}: another reload is running, this one begins after it"),
        ));
    }
    let reloaded = reloading.wait().await.with_context(failed)?;
    let (replaced, took) = (workers(reloaded.workers), reloaded.took);
    let otherwise = if reloaded.strategy == wanted {
        ""
    } else {
        ", all at once: so did somebody else want this reload"
    };
    say(format_args!(
        "{} {name}: replaced {replaced} in {took:.1?}{otherwise}",
        paint(Style::Good, "✓")
    ));
    Ok(ExitCode::SUCCESS)
}
