//! The connection looks well, and nothing arrives on it any more.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::join_all;
use tidings_testkit::{Direction, Fault, Proxy, Redis};
use tokio::time::sleep;

use super::{Outcome, PROBE_INTERVAL};
use crate::traffic::Traffic;

/// A bus that sends nothing states its position after 1 and 5 seconds, and then every 30. That
/// helps to find out, so a patient bus is tried when it has done both.
const HAS_STATED_BOTH: Duration = Duration::from_secs(7);

/// Why nothing arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum HalfOpen {
    /// Packets vanish, those of new connections too.
    Vanish,
    /// What Redis says on the hearing connection is lost, and everything else arrives.
    OneWay,
    /// Redis is frozen.
    Frozen,
    /// The server's end is gone, and nobody says so.
    SilentClose,
}

impl HalfOpen {
    pub(super) const ALL: [Self; 4] = [Self::Vanish, Self::OneWay, Self::Frozen, Self::SilentClose];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Vanish => "packets vanish",
            Self::OneWay => "one way only",
            Self::Frozen => "server frozen",
            Self::SilentClose => "silent close",
        }
    }

    fn begin(self, redis: &Redis, proxy: &Proxy) {
        match self {
            Self::Vanish => proxy.set(Fault::Blackhole(Direction::Both)),
            Self::OneWay => proxy.set_connection(0, Fault::Drop(Direction::ToClient)),
            Self::Frozen => redis.freeze(),
            Self::SilentClose => proxy.set(Fault::SilentClose),
        }
    }

    fn end(self, redis: &Redis, proxy: &Proxy) {
        match self {
            // It stays lost for the connection that has it; a new one is well.
            Self::OneWay => {}
            Self::Frozen => redis.resume(),
            Self::Vanish | Self::SilentClose => proxy.set(Fault::None),
        }
    }
}

pub(super) async fn run(how: HalfOpen, interval: Duration, times: usize) -> Result<Outcome> {
    // Most of the time they wait, so they can wait together.
    let trials = (0..times).map(|_| try_once(how, interval));
    Ok(Outcome::of_all(join_all(trials).await))
}

async fn try_once(how: HalfOpen, interval: Duration) -> Result<Outcome> {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let describe = |bus: tidings::Builder| bus.probe_interval(interval);
    let traffic = Traffic::start(&[proxy.url()], &[redis.url()], describe).await?;
    let hearer = &traffic.hearers[0];
    if interval == PROBE_INTERVAL {
        sleep(HAS_STATED_BOTH).await;
    }

    let since = Instant::now();
    how.begin(&redis, &proxy);
    let noticed = hearer.notices(since).await;
    how.end(&redis, &proxy);
    let mut outcome = Outcome::default();
    outcome.took.push(noticed? - since);
    hearer.hears_again(since).await?;
    outcome.balance(traffic.end().await);
    Ok(outcome)
}
