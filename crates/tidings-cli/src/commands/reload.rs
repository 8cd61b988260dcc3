//! `tidings reload`: replaces all workers.

use std::process::ExitCode;

use anyhow::Context as _;
use tidings_supervisor::RemoteSupervisor;

use crate::args::{Reload, strategy};
use crate::terminal::{Style, paint, print, workers};

pub(crate) async fn reload(args: &Reload) -> anyhow::Result<ExitCode> {
    let remote = RemoteSupervisor::find(args.name.as_deref()).await?;
    let name = remote.name();
    let failed = || format!("cannot reload {name}");
    let requested = strategy(args.rolling);
    let reloading = remote.start_reload(requested).await;
    let reloading = reloading.with_context(failed)?;
    if reloading.is_queued() {
        print(paint(
            Style::Dim,
            format_args!("{name}: waiting for another reload to finish"),
        ));
    }
    let reloaded = reloading.wait().await.with_context(failed)?;
    let (replaced, took) = (workers(reloaded.workers), reloaded.took);
    let note = if reloaded.strategy == requested {
        ""
    } else {
        ", all at once because another request asked for it"
    };
    print(format_args!(
        "{} {name}: replaced {replaced} in {took:.1?}{note}",
        paint(Style::Success, "✓")
    ));
    Ok(ExitCode::SUCCESS)
}
