//! Handlers that register themselves, and their arguments.

// ANCHOR: file
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidings::prelude::*;

const SOON: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize, Deserialize, Event)]
#[event("item.sold")]
struct ItemSold {
    item: String,
}

type Prices = Arc<BTreeMap<&'static str, u32>>;

#[tidings::on]
async fn sell(
    sold: ItemSold,               // the payload
    State(prices): State<Prices>, // set on the builder
    context: Context,             // sender, sequence number, time
    bus: Bus,                     // to send more events
) -> Result<(), HandlerError> {
    let item = sold.item;
    println!("{}: {item}", context.event_name());
    let Some(cents) = prices.get(&*item) else {
        return Err(format!("{item} have no price").into());
    };
    let sent = bus.send_to_all("cash.received", cents);
    sent.acknowledged(SOON).await?;
    Ok(())
}

#[tidings::on("cash.received")]
async fn count(cents: u32) {
    println!("{cents} cents more");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shop = Bus::builder("memory:shop")
        .state(Prices::new(BTreeMap::from([("apples", 130)])))
        .on_failure(|failure: Failure| println!("{}", tidings::report(&failure)));
    let bus = shop.start().await?;
    for item in ["apples", "plums"] {
        let item = item.to_owned();
        let sold = ItemSold { item };
        bus.publish(&sold).acknowledged(SOON).await?;
    }
    bus.shutdown(SOON).await?;
    Ok(())
}
// ANCHOR_END: file
