//! Step 2: a price is a type.

// ANCHOR: file
use std::time::Duration;
use tidings::prelude::*;

// ANCHOR: changed
#[derive(Debug, Serialize, Deserialize, Event)]
#[event("price.set")]
struct PriceSet {
    item: String,
    cents: u32,
}

async fn show(price: PriceSet) {
    println!("{} cost {} now", price.item, price.cents);
}
// ANCHOR_END: changed

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = Bus::builder("memory:shop").subscribe(show);
    let bus = bus.start().await?;
    let item = "apples".to_owned();
    bus.publish(&PriceSet { item, cents: 120 }).await?;
    bus.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
// ANCHOR_END: file
