//! Half-open: the connection looks healthy, and nothing arrives on it.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::join_all;
use tidings_testkit::{Direction, Fault, Proxy, Redis};
use tokio::time::sleep;

use crate::row::{HEARTBEAT_INTERVAL, Outcome};
use crate::traffic::Traffic;

/// A bus that sends nothing states its position after 1 and 5 seconds, and then every 30. This
/// helps to detect the fault, so a trial with the default interval begins after both.
const HAS_STATED_BOTH: Duration = Duration::from_secs(7);

/// The reason why nothing arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum HalfOpen {
    /// Packets are lost, those of new connections too.
    Vanish,
    /// The data of Redis on the receiving connection is lost; everything else arrives.
    OneWay,
    /// Redis is frozen.
    Frozen,
    /// The server's end is closed, and the client is not told.
    SilentClose,
}

impl HalfOpen {
    pub(super) const ALL: [Self; 4] = [Self::Vanish, Self::OneWay, Self::Frozen, Self::SilentClose];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Vanish => "packets lost",
            Self::OneWay => "one direction only",
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
            // The connection stays broken; a new one is healthy.
            Self::OneWay => {}
            Self::Frozen => redis.resume(),
            Self::Vanish | Self::SilentClose => proxy.set(Fault::None),
        }
    }
}

pub(super) async fn run(how: HalfOpen, interval: Duration, times: usize) -> Result<Outcome> {
    // The trials mostly wait, so they run at the same time.
    let trials = (0..times).map(|_| try_once(how, interval));
    Ok(Outcome::of_all(join_all(trials).await))
}

async fn try_once(how: HalfOpen, interval: Duration) -> Result<Outcome> {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let describe = |bus: tidings::BusBuilder| bus.heartbeat_interval(interval);
    let traffic = Traffic::start(&[proxy.url()], &[redis.url()], describe).await?;
    let subscriber = &traffic.subscribers[0];
    if interval == HEARTBEAT_INTERVAL {
        sleep(HAS_STATED_BOTH).await;
    }

    let since = Instant::now();
    how.begin(&redis, &proxy);
    let detected = subscriber.detects(since).await;
    how.end(&redis, &proxy);
    let mut outcome = Outcome::default();
    outcome.took.push(detected? - since);
    subscriber.receives_again(since).await?;
    outcome.balance(traffic.end().await);
    Ok(outcome)
}
