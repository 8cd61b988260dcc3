//! Reads events and asks members while somebody looks, and does nothing otherwise.

use tidings::{Bus, Tap, TapOptions};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::api::Api;
use super::hub::Hub;
use super::limits::SECOND;
use crate::app::App;
use crate::commands::listen::follow_journal;
use crate::connect::{has_journal, known_members};
use crate::settings::Settings;

/// The number of events after which other tasks get a turn.
const TURN: usize = 64;

/// Collects for ever.
pub(super) async fn collect(app: &App, settings: &Settings, bus: &Bus, api: &Api) {
    let mut count = api.hub.count.subscribe();
    loop {
        if count.wait_for(|count| *count > 0).await.is_err() {
            return;
        }
        api.hub.begin();
        tokio::select! {
            () = events(app, settings, bus, &api.hub) => {}
            () = looks(api) => {}
            _ = count.wait_for(|count| *count == 0) => {}
        }
        api.hub.end();
    }
}

/// Shows the events for ever.
async fn events(app: &App, settings: &Settings, bus: &Bus, hub: &Hub) {
    loop {
        // A bus of its own follows the journal; it is dropped with the tap.
        if let Ok((_bus, tap)) = open(app, settings, bus).await {
            follow(tap, hub).await;
        }
        sleep(SECOND).await;
    }
}

async fn open(app: &App, settings: &Settings, bus: &Bus) -> anyhow::Result<(Bus, Tap)> {
    let tap = bus.tap(TapOptions::new())?;
    if !has_journal(&known_members(bus).await) {
        return Ok((bus.clone(), tap));
    }
    drop(tap);
    follow_journal(app, settings, None).await
}

async fn follow(mut tap: Tap, hub: &Hub) {
    let mut turn = 0;
    while let Some(item) = tap.next().await {
        hub.take(&item);
        turn += 1;
        if turn % TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Asks the members each second.
async fn looks(api: &Api) {
    let mut seconds = interval(SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_first = true;
    loop {
        seconds.tick().await;
        if !is_first {
            api.hub.tick();
        }
        is_first = false;
        let look = api.looker.look(&api.hub).await;
        api.hub.looks.send_replace(look);
    }
}
