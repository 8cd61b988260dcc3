//! The test that part two of the book shows.

// ANCHOR: file
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings::prelude::*;
use tidings_testkit::{Redis, wait_for};

const SOON: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize, Deserialize, Event)]
#[event("price.set")]
struct PriceSet {
    item: String,
    cents: u32,
}

/// The database, and what a shop has in its memory.
#[derive(Clone, Default)]
struct Prices {
    database: Arc<Mutex<BTreeMap<String, u32>>>,
    known: Arc<Mutex<BTreeMap<String, u32>>>,
}

async fn learn(price: PriceSet, State(prices): State<Prices>) {
    let mut known = prices.known.lock().unwrap();
    known.insert(price.item, price.cents);
}

async fn reload(_: Gap, State(prices): State<Prices>) {
    *prices.known.lock().unwrap() = prices.database.lock().unwrap().clone();
}

#[tokio::test]
async fn a_shop_reloads_the_prices_that_it_missed() {
    let redis = Redis::start().await;
    let prices = Prices::default();
    let shop = Bus::builder(&redis.url()).state(prices.clone());
    let shop = shop.subscribe(learn).on_gap(reload).start().await.unwrap();

    let price = PriceSet {
        item: "apples".to_owned(),
        cents: 130,
    };
    let sent = shop.publish(&price).acknowledged(SOON).await.unwrap();
    assert!(sent.is_complete(), "{sent}");
    assert_eq!(prices.known.lock().unwrap()["apples"], 130);

    prices
        .database
        .lock()
        .unwrap()
        .insert("apples".to_owned(), 150);
    redis.kill_subscribers().await;
    let is_known = async || prices.known.lock().unwrap()["apples"] == 150;
    wait_for("the shop reloads", SOON, is_known).await;
}
// ANCHOR_END: file
