//! The event as its hearer knows it: what is counted in this file is decoding.

use tidings::prelude::*;

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "decoding is what counts, nobody reads the order")]
pub(crate) struct OrderPlaced {
    order: u64,
    customer: String,
    sku: String,
    quantity: u32,
    total_cents: i64,
    sent_ns: u64,
}
