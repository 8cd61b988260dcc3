//! Answers the request `tidings.contract` with the contract of this program.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidings_codec::Encoder;

use crate::bus::WeakBus;
use crate::bus::inspector::respond;
use crate::observe::inspection::{Published, PublishedContract};
use crate::receive::control::{ControlEvent, ControlListener};
use crate::receive::request::Reply;

/// The event name of the request. Its payload is the number of bytes that the requester has already.
pub(crate) const CONTRACT: &str = "tidings.contract";

/// The maximum number of bytes in one response: a contract may be larger than a frame.
const PART: usize = 128 << 10;

/// A part of a contract: the response.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct ContractPart {
    pub(crate) text: String,
    pub(crate) is_last: bool,
}

impl ContractPart {
    /// Returns the part of a contract that begins at a byte.
    fn of(contract: &PublishedContract, from: u64) -> Self {
        let rest = usize::try_from(from).ok();
        let rest = rest.and_then(|from| contract.text.get(from..));
        let rest = rest.unwrap_or_default();
        let end = rest.floor_char_boundary(PART);
        Self {
            text: rest[..end].to_owned(),
            is_last: end == rest.len(),
        }
    }
}

/// The listener of the request, which is called on the receive task.
pub(crate) struct ContractResponder {
    bus: WeakBus,
    is_on: bool,
    contract: Published,
}

impl ContractResponder {
    pub(crate) fn new(bus: WeakBus, is_on: bool, contract: Published) -> Arc<Self> {
        Arc::new(Self {
            bus,
            is_on,
            contract,
        })
    }
}

impl ControlListener for ContractResponder {
    fn receive(&self, event: &ControlEvent<'_>) {
        respond(&self.bus, event, |bus| {
            let contract = self.is_on.then(self.contract).flatten();
            let Some(contract) = contract else {
                return Reply::NoHandler;
            };
            let part = ContractPart::of(contract, event.payload.decode().unwrap_or_default());
            let mut response = Vec::new();
            let format = bus.inner.dispatcher.requests.format();
            match Encoder::new(format, &mut response).encode(&part) {
                Ok(()) => Reply::Handled(response),
                Err(error) => Reply::Failed(error.to_string()),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_contract_are_all_of_it() {
        let text = "ä".repeat(PART) + "b";
        let contract = PublishedContract {
            hash: String::new(),
            text: text.clone(),
        };
        let mut received = String::new();
        loop {
            let part = ContractPart::of(&contract, received.len() as u64);
            assert!(part.text.len() <= PART);
            received += &part.text;
            if part.is_last {
                break;
            }
        }
        assert_eq!(received, text);
        assert!(ContractPart::of(&contract, u64::MAX).is_last);
    }
}
