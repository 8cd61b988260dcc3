//! Waits for the server that a bus is connected to.

use std::time::Duration;

use tidings::{Bus, Connection};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(30);

/// Waits until the bus receives through the server at `url`.
pub(crate) async fn hears_through(bus: &Bus, url: &str) {
    let mut changes = bus.watch_health();
    let there = changes.wait_for(
        |health| matches!(&health.connection, Connection::Up { server, .. } if server == url),
    );
    let there = timeout(SOON, there).await;
    assert!(there.is_ok(), "not through {url}: {:?}", bus.health());
}
