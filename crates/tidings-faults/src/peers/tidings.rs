//! tidings, with its defaults.

use std::future::ready;

use anyhow::Result;
use tidings::{Bus, Gap};

use super::{Address, Log, Subscription};

pub(super) const SETTINGS: &str = "defaults; notified: `on_gap`, or a change of `health`";

pub(super) async fn subscribe(address: &Address, log: &Log) -> Result<Subscription> {
    let url = match address {
        Address::Server(address) => format!("redis://{address}"),
        Address::Sentinels(url) => url.clone(),
    };
    let (ticks, gaps) = (log.clone(), log.clone());
    let bus = Bus::builder(&url)
        .on("tick", move |tick: u64| {
            ticks.received(tick);
            ready(())
        })
        .on_gap(move |_: Gap| {
            gaps.notified();
            ready(())
        })
        .start()
        .await?;
    let (mut changes, health) = (bus.watch_health(), log.clone());
    let watched = tokio::spawn(async move {
        while changes.changed().await.is_some() {
            health.notified();
        }
    });
    Ok(Subscription {
        _kept: Box::new(bus),
        tasks: vec![watched.abort_handle()],
    })
}
