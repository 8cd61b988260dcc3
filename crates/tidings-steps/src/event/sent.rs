//! The event as the program sends it: instructions of this file count as encoding.

use tidings::prelude::*;

#[derive(Debug, Serialize)]
pub(crate) struct OrderPlaced {
    pub(crate) order: u64,
    pub(crate) customer: String,
    pub(crate) sku: String,
    pub(crate) quantity: u32,
    pub(crate) total_cents: i64,
    pub(crate) sent_ns: u64,
}

impl OrderPlaced {
    pub(crate) fn example() -> Self {
        Self {
            order: 0,
            customer: "cust-0001234".to_owned(),
            sku: "sku-98765432".to_owned(),
            quantity: 3,
            total_cents: 12_999,
            sent_ns: 1_700_000_000_000_000_000,
        }
    }
}
