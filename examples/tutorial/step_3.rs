//! Step 3: two processes.

// ANCHOR: file
use std::time::Duration;
use tidings::prelude::*;

#[derive(Debug, Serialize, Deserialize, Event)]
#[event("price.set")]
struct PriceSet {
    item: String,
    cents: u32,
}

async fn show(price: PriceSet) {
    println!("{} cost {} now", price.item, price.cents);
}

// ANCHOR: changed
type Done = Result<(), Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Done {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let name = words.first().map_or("shop", |name| name);
    let bus = Bus::from_env().name(name).start().await?;
    match &words[..] {
        [_, _, item, cents] => set(&bus, item, cents.parse()?).await?,
        _ => serve(&bus).await?,
    }
    Ok(bus.shutdown(Duration::from_secs(5)).await?)
}

async fn serve(bus: &Bus) -> Done {
    bus.subscribe(show)?;
    println!("open");
    Ok(tokio::signal::ctrl_c().await?)
}

async fn set(bus: &Bus, item: &str, cents: u32) -> Done {
    let item = item.to_owned();
    bus.publish(&PriceSet { item, cents }).await?;
    Ok(())
}
// ANCHOR_END: changed
// ANCHOR_END: file
