//! The event as the handler receives it: instructions of this file count as decoding.

use tidings::prelude::*;

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only decoding is measured")]
pub(crate) struct OrderPlaced {
    order: u64,
    customer: String,
    sku: String,
    quantity: u32,
    total_cents: i64,
    sent_ns: u64,
}
