//! A replica is made the master by hand, and the old master its replica. A bus that stays connected
//! to the old master would reach nobody else.

use std::time::Instant;

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use tidings::Connection;
use tidings_testkit::{Proxy, Redis};

use crate::row::Outcome;
use crate::traffic::{Traffic, until};

pub(super) async fn run(times: usize) -> Result<Outcome> {
    let trials = (0..times).map(|_| try_once());
    Ok(Outcome::of_all(join_all(trials).await))
}

async fn try_once() -> Result<Outcome> {
    // A write on the master reaches its replica at once, not five seconds later.
    let at_once = || {
        Redis::builder()
            .config("repl-diskless-sync-delay", "0")
            .start()
    };
    let (old, new) = (at_once().await, at_once().await);
    let proxy = Proxy::start(old.address()).await;
    let urls = [proxy.url()];
    let traffic = Traffic::start(&urls, &urls, |bus| bus).await?;

    let since = Instant::now();
    let port = new.port().to_string();
    old.command(&["REPLICAOF", "127.0.0.1", &port]).await;
    let mut outcome = Outcome::default();
    for bus in traffic.buses() {
        let left = until(|| match bus.health().connection {
            Connection::Disconnected { since, why } if why.contains("replica") => Some(since),
            _ => None,
        });
        let left = left.await.context("the bus did not leave the replica")?;
        outcome.took.push(left.saturating_duration_since(since));
    }
    proxy.redirect(new.address());
    traffic.subscribers[0].receives_again(since).await?;
    outcome.balance(traffic.end().await);
    Ok(outcome)
}
