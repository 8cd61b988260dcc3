//! `tidings reload`: replaces all workers.

use anyhow::Context as _;
use serde_json::json;
use tidings_supervisor::RemoteSupervisor;

use crate::app::App;
use crate::args::{Reload, strategy};
use crate::exit::Exit;
use crate::output;
use crate::terminal::{Style, paint, workers};

pub(crate) async fn reload(app: &App, args: &Reload) -> anyhow::Result<Exit> {
    let remote = RemoteSupervisor::find(args.name.as_deref()).await?;
    let name = remote.name();
    let failed = || format!("cannot reload {name}");
    let requested = strategy(args.rolling);
    let reloading = remote.start_reload(requested).await;
    let reloading = reloading.with_context(failed)?;
    if reloading.is_queued() {
        app.remark(format_args!("{name}: waiting for another reload to finish"));
    }
    let reloaded = reloading.wait().await.with_context(failed)?;
    if app.is_json() {
        output::json(&json!({
            "name": name,
            "workers": reloaded.workers,
            "took": reloaded.took.as_secs_f64(),
        }))?;
        return Ok(Exit::Done);
    }
    let (replaced, took) = (workers(reloaded.workers), reloaded.took);
    let note = if reloaded.strategy == requested {
        ""
    } else {
        ", all at once because another request asked for it"
    };
    output::result(format_args!(
        "{} {name}: replaced {replaced} in {took:.1?}{note}",
        paint(Style::Success, "✓")
    ))?;
    Ok(Exit::Done)
}
