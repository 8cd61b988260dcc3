//! Redis is killed, and restarted after a while.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::join_all;
use tidings_testkit::Redis;
use tokio::time::sleep;

use crate::row::Outcome;
use crate::traffic::Traffic;

pub(super) async fn run(away: Duration, times: usize) -> Result<Outcome> {
    let trials = (0..times).map(|_| try_once(away));
    Ok(Outcome::of_all(join_all(trials).await))
}

async fn try_once(away: Duration) -> Result<Outcome> {
    let mut redis = Redis::start().await;
    let traffic = Traffic::start(&[redis.url()], &[redis.url()], |bus| bus).await?;

    let killed = Instant::now();
    redis.kill();
    sleep(away).await;
    redis.start_again().await;
    let answers = Instant::now();
    let again = traffic.subscribers[0].receives_again(killed).await?;

    let mut outcome = Outcome::default();
    outcome.took.push(again.saturating_duration_since(answers));
    traffic.flows().await?;
    outcome.strict_balance(traffic.end().await);
    Ok(outcome)
}
