//! tidings, with its defaults.

use std::future::ready;

use anyhow::Result;
use tidings::{Bus, Gap};

use super::{Hearing, Notes, Place};

pub(super) const SETTINGS: &str = "defaults; told: `on_gap`, or a change of `health`";

pub(super) async fn hear(place: &Place, notes: &Notes) -> Result<Hearing> {
    let url = match place {
        Place::Server(address) => format!("redis://{address}"),
        Place::Sentinels { url, .. } => url.clone(),
    };
    let (ticks, gaps) = (notes.clone(), notes.clone());
    let bus = Bus::builder(&url)
        .on("tick", move |tick: u64| {
            ticks.heard(tick);
            ready(())
        })
        .on_gap(move |_: Gap| {
            gaps.told();
            ready(())
        })
        .start()
        .await?;
    let (mut changes, health) = (bus.watch_health(), notes.clone());
    let watched = tokio::spawn(async move {
        while changes.changed().await.is_some() {
            health.told();
        }
    });
    Ok(Hearing {
        _kept: Box::new(bus),
        tasks: vec![watched.abort_handle()],
    })
}
