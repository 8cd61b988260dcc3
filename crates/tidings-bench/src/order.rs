//! The event that every run sends: six fields, about 124 bytes of JSON.

use tidings::prelude::*;

use crate::clock::now_ns;

/// The event's name.
pub(crate) const NAME: &str = "order.placed";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OrderPlaced {
    pub(crate) order_id: u64,
    pub(crate) customer: String,
    pub(crate) sku: String,
    pub(crate) quantity: u32,
    pub(crate) total_cents: i64,
    pub(crate) sent_ns: u64,
}

impl OrderPlaced {
    pub(crate) fn new(order_id: u64) -> Self {
        Self {
            order_id,
            customer: "cust-0001234".to_owned(),
            sku: "sku-98765432".to_owned(),
            quantity: 3,
            total_cents: 12_999,
            sent_ns: now_ns(),
        }
    }
}

/// What a user of the redis crate would put around it, to say which event it is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", content = "data")]
pub(crate) enum Envelope {
    #[serde(rename = "order.placed")]
    OrderPlaced(OrderPlaced),
    #[serde(rename = "order.cancelled")]
    OrderCancelled(u64),
    #[serde(rename = "cache.clear")]
    CacheClear(String),
}
