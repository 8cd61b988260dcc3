//! A crate whose handlers a program collects by linking it.

use tidings::prelude::*;
use tokio::sync::mpsc::UnboundedSender;

/// What the handlers tell: each says who it is, and what it heard.
pub type Told = UnboundedSender<String>;

/// A handler in another crate than the bus.
#[tidings::on("plugin.loaded")]
async fn loaded(plugin: String, State(told): State<Told>) {
    // Nobody may be listening any more at the end of a test.
    let _ = told.send(format!("plugin: {plugin}"));
}
