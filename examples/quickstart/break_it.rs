//! Prints prices and gaps: start it, stop its Redis, and start Redis again.
//!
//! `TIDINGS_URL=redis://127.0.0.1:6400 cargo run --example break-it` is the program of the README.

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

async fn reload(gap: Gap) {
    println!("{gap}: reload from the database");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = Bus::from_env().subscribe(show).on_gap(reload);
    let bus = bus.start().await?;
    let item = "apples".to_owned();
    bus.publish(&PriceSet { item, cents: 120 }).await?;
    std::future::pending().await
}
