//! The events that runs send: an order with six fields, or the smallest possible event.

use serde::de::DeserializeOwned;
use tidings::prelude::*;

/// The name of the wanted event.
pub(crate) const NAME: &str = "order.placed";

/// An event of a run. It carries its number and the time of its send.
pub(crate) trait Sample:
    Event + Serialize + DeserializeOwned + Clone + Send + Sync + 'static
{
    /// Returns an event whose JSON takes about this many bytes.
    fn of_size(bytes: usize) -> Self;

    /// Returns a copy with this number and time.
    fn stamped(&self, number: u64, sent_ns: u64) -> Self;

    fn number(&self) -> u64;

    fn sent_ns(&self) -> u64;
}

/// Six fields, 124 bytes of JSON. A larger event has a longer customer name.
#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event("order.placed")]
pub(crate) struct OrderPlaced {
    order_id: u64,
    customer: String,
    sku: String,
    quantity: u32,
    total_cents: i64,
    sent_ns: u64,
}

/// About 32 bytes of JSON.
#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event("order.placed")]
pub(crate) struct Small {
    id: u64,
    at: u64,
}

/// Numbers with as many digits as in the middle of a run.
const USUAL_NUMBER: u64 = 100_000;
const USUAL_TIME: u64 = 10_000_000_000_000;

impl Sample for OrderPlaced {
    fn of_size(bytes: usize) -> Self {
        let mut order = Self {
            order_id: USUAL_NUMBER,
            customer: "cust-0001234".to_owned(),
            sku: "sku-98765432".to_owned(),
            quantity: 3,
            total_cents: 12_999,
            sent_ns: USUAL_TIME,
        };
        let short = serde_json::to_string(&order).map_or(0, |json| json.len());
        let padding = "x".repeat(bytes.saturating_sub(short));
        order.customer.push_str(&padding);
        order
    }

    fn stamped(&self, number: u64, sent_ns: u64) -> Self {
        Self {
            order_id: number,
            sent_ns,
            ..self.clone()
        }
    }

    fn number(&self) -> u64 {
        self.order_id
    }

    fn sent_ns(&self) -> u64 {
        self.sent_ns
    }
}

impl Sample for Small {
    fn of_size(_bytes: usize) -> Self {
        Self {
            id: USUAL_NUMBER,
            at: USUAL_TIME,
        }
    }

    fn stamped(&self, number: u64, sent_ns: u64) -> Self {
        Self {
            id: number,
            at: sent_ns,
        }
    }

    fn number(&self) -> u64 {
        self.id
    }

    fn sent_ns(&self) -> u64 {
        self.at
    }
}

/// The names that the events of a run use in turn. They live as long as the process.
pub(crate) fn names(count: u64) -> Vec<&'static str> {
    let noise = (1..count).map(|number| &*format!("noise.{number}").leak());
    std::iter::once(NAME).chain(noise).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_requested_size() {
        for bytes in [124, 1_024, 16_384] {
            let json = serde_json::to_string(&OrderPlaced::of_size(bytes)).unwrap();
            assert_eq!(json.len(), bytes);
        }
        let json = serde_json::to_string(&Small::of_size(32)).unwrap();
        assert!(json.len().abs_diff(32) <= 2, "{json}");
    }
}
