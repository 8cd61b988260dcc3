//! A connection is cut, and the server stays healthy.

use std::time::Instant;

use anyhow::Result;
use tidings_testkit::{Proxy, Redis};

use crate::row::Outcome;
use crate::traffic::Traffic;

/// The side that cuts it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cut {
    /// The network: all connections of the subscriber.
    Reset,
    /// Redis: the connections of all subscribers.
    ClientKill,
}

impl Cut {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reset => "TCP reset",
            Self::ClientKill => "CLIENT KILL",
        }
    }
}

pub(super) async fn run(cut: Cut, times: usize) -> Result<Outcome> {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let traffic = Traffic::start(&[proxy.url()], &[redis.url()], |bus| bus).await?;

    let mut outcome = Outcome::default();
    for _ in 0..times {
        let since = Instant::now();
        match cut {
            Cut::Reset => proxy.reset().await,
            Cut::ClientKill => usize::try_from(redis.kill_subscribers().await)?,
        };
        let again = traffic.subscribers[0].receives_again(since).await?;
        outcome.took.push(again - since);
        traffic.flows().await?;
    }
    outcome.balance(traffic.end().await);
    Ok(outcome)
}
