//! Step 6: who is there, and did they get it?

// ANCHOR: file
use std::collections::BTreeMap;
use std::time::Duration;
use tidings::prelude::*;
use tidings::{Shared, SharedError, SharedOptions, WhenLost};

type Done = Result<(), Box<dyn std::error::Error>>;

type Prices = BTreeMap<String, u32>;

// ANCHOR: event
#[derive(Debug, Serialize, Deserialize, Event)]
#[event("shop.closes")]
struct ShopCloses;
// ANCHOR_END: event

fn prices(bus: &Bus) -> Result<Shared<Prices>, SharedError> {
    let options = SharedOptions::new().when_lost(WhenLost::Restore);
    bus.shared_with("prices", options)
}

#[tokio::main]
async fn main() -> Done {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let name = words.first().map_or("shop", |name| name);
    let bus = Bus::from_env().name(name).start().await?;
    match &words[..] {
        [_, _, item, cents] => set(&bus, item, cents.parse()?).await?,
        [_, _] => close(&bus).await?,
        _ => serve(&bus).await?,
    }
    Ok(bus.shutdown(Duration::from_secs(5)).await?)
}

async fn serve(bus: &Bus) -> Done {
    bus.on_gap(|gap: Gap| async move { println!("gap: {gap}") })?;
    bus.subscribe(|_: ShopCloses| async { println!("closing") })?;
    println!("open");
    let mut changes = prices(bus)?.watch();
    tokio::spawn(async move {
        while let Some(prices) = changes.changed().await {
            println!("{:?}", prices.value());
        }
    });
    Ok(tokio::signal::ctrl_c().await?)
}

async fn set(bus: &Bus, item: &str, cents: u32) -> Done {
    let item = item.to_owned();
    let add = move |old: Option<&Prices>| {
        let mut new = old.cloned().unwrap_or_default();
        new.insert(item.clone(), cents);
        new
    };
    prices(bus)?.update(add).await?;
    Ok(())
}

// ANCHOR: close
async fn close(bus: &Bus) -> Done {
    let sent = bus.send_to_others(ShopCloses::EVENT, &ShopCloses);
    println!("{}", sent.acknowledged(Duration::from_secs(2)).await?);
    Ok(())
}
// ANCHOR_END: close
// ANCHOR_END: file
