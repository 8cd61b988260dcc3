//! A crate whose handlers a program collects by linking it.

use tidings::prelude::*;
use tokio::sync::mpsc::UnboundedSender;

/// The reports of the handlers: the handler, and the event that it received.
pub type Told = UnboundedSender<String>;

/// A handler in another crate than the bus.
#[tidings::on("plugin.loaded")]
async fn loaded(plugin: String, State(reported): State<Told>) {
    // The receiver may be gone at the end of a test.
    let _ = reported.send(format!("plugin: {plugin}"));
}
