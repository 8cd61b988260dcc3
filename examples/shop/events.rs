//! A closed set of events.

// ANCHOR: file
use std::time::Duration;
use tidings::prelude::*;

#[derive(Debug, Event)]
enum ShopEvent {
    #[event("price.set")]
    PriceSet { item: String, cents: u32 },
    #[event("item.sold")]
    Sold(String),
    #[event("shop.closes")]
    Closes,
    #[event(other)]
    Other(Unknown),
}

async fn show(event: ShopEvent) {
    match event {
        ShopEvent::PriceSet { item, cents } => println!("{item} cost {cents} now"),
        ShopEvent::Sold(item) => println!("sold: {item}"),
        ShopEvent::Closes => println!("closing"),
        ShopEvent::Other(event) => println!("unknown: {}", event.name()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = Bus::builder("memory:shop").subscribe(show).start().await?;
    let item = "apples".to_owned();
    bus.publish(&ShopEvent::PriceSet { item, cents: 130 })
        .await?;
    bus.publish(&ShopEvent::Sold("pears".to_owned())).await?;
    bus.send_to_all("delivery.late", "plums").await?;
    bus.publish(&ShopEvent::Closes).await?;
    bus.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
// ANCHOR_END: file

pub(super) fn run() -> super::Done {
    main()
}
