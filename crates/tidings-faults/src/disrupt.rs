//! Makes the faults of a [script](crate::script) happen.

use std::time::Duration;

use futures_util::future::join_all;
use tidings_testkit::{Direction, Fault, Proxy, Redis};
use tokio::time::sleep;

use crate::script::{Disruption, Step};

/// The channel of the default namespace.
pub const CHANNEL: &str = "tidings:{default}";

/// Makes one fault happen to a server and the proxies in front of it, and ends it.
pub async fn apply(step: Step, redis: &mut Redis, proxies: &[Proxy]) {
    match step.what {
        Disruption::Restart => {
            redis.kill();
            sleep(step.lasts).await;
            redis.start_again().await;
        }
        what if what.is_of_network() => disrupt_network(step, proxies).await,
        what => disrupt_server(what, step.lasts, redis).await,
    }
}

impl Disruption {
    /// Returns whether the fault needs proxies.
    fn is_of_network(self) -> bool {
        matches!(
            self,
            Self::Reset | Self::ResetAll | Self::Proxy(_) | Self::DropBytes(_) | Self::Outage
        )
    }
}

async fn disrupt_network(step: Step, proxies: &[Proxy]) {
    let proxy = &proxies[step.at];
    match step.what {
        Disruption::Reset => {
            proxy.reset().await;
        }
        Disruption::ResetAll => {
            join_all(proxies.iter().map(Proxy::reset)).await;
        }
        Disruption::Proxy(fault) => {
            proxy.set(fault);
            sleep(step.lasts).await;
            proxy.set(Fault::None);
        }
        Disruption::DropBytes(direction) => lose_bytes(proxy, direction, step.lasts).await,
        Disruption::Outage => cut_off_all(proxies, step.lasts).await,
        _ => {}
    }
}

/// Makes a fault happen that needs neither a proxy nor another process.
pub async fn disrupt_server(what: Disruption, lasts: Duration, redis: &Redis) {
    match what {
        Disruption::KillSubscribers => {
            redis.kill_subscribers().await;
        }
        Disruption::KillSenders => {
            redis.kill_senders().await;
        }
        Disruption::Pause => {
            redis.pause(lasts).await;
            sleep(lasts).await;
        }
        Disruption::Freeze => {
            redis.freeze();
            sleep(lasts).await;
            redis.resume();
        }
        Disruption::SmallBuffer => limit_output_buffer(redis, lasts).await,
        // Only child processes can be stopped, and the others are those of a network or a restart.
        _ => {}
    }
}

async fn lose_bytes(proxy: &Proxy, direction: Direction, time: Duration) {
    proxy.set(Fault::Drop(direction));
    sleep(time).await;
    // TCP cannot continue after lost bytes: a connection that lost some has to end.
    proxy.set_new_connections(Fault::None);
    proxy.reset().await;
}

async fn limit_output_buffer(redis: &Redis, time: Duration) {
    let limit = async |limit| {
        let set = ["CONFIG", "SET", "client-output-buffer-limit", limit];
        redis.command(&set).await;
    };
    limit("pubsub 32kb 0 0").await;
    let long = format!(r#"{{"event":"ballast","data":"{}"}}"#, "x".repeat(200_000));
    redis.command(&["PUBLISH", CHANNEL, &long]).await;
    sleep(time).await;
    limit("pubsub 32mb 8mb 60").await;
}

/// Refuses all connections for a while; Redis is healthy.
async fn cut_off_all(proxies: &[Proxy], time: Duration) {
    for proxy in proxies {
        proxy.set_new_connections(Fault::Reset);
        proxy.set(Fault::Reset);
    }
    sleep(time).await;
    for proxy in proxies {
        proxy.set_new_connections(Fault::None);
        proxy.set(Fault::None);
    }
}
