//! Answers the request `tidings.contract` with the contract of this program.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidings_codec::Encoder;

use crate::bus::WeakBus;
use crate::bus::inspector::respond;
use crate::error::request::ResponseError;
use crate::observe::inspection::{Published, PublishedContract};
use crate::receive::control::{ControlEvent, ControlListener};
use crate::receive::request::Reply;

/// The event name of the request. Its payload is the number of bytes that the requester has already.
pub(crate) const CONTRACT: &str = "tidings.contract";

/// The maximum number of bytes in one response: a contract may be larger than a frame.
const PART: usize = 128 << 10;

/// The minimum number of bytes in a response that is not the last. It limits the number of requests.
const MIN_PART: usize = 64 << 10;

/// The maximum number of bytes of another program's contract.
const MAX: usize = 16 << 20;

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

/// The parts of another program's contract so far.
#[derive(Debug, Default)]
pub(crate) struct ContractParts {
    pub(crate) text: String,
}

impl ContractParts {
    /// Adds a part, and returns whether it is the last one.
    ///
    /// # Errors
    ///
    /// When the contract is too large, or in too many parts.
    pub(crate) fn add(&mut self, part: &ContractPart) -> Result<bool, ResponseError> {
        self.text += &part.text;
        if self.text.len() > MAX {
            let text = format!("its contract has more than {MAX} bytes");
            return Err(ResponseError::Failed { text });
        }
        if !part.is_last && part.text.len() < MIN_PART {
            let text = format!("a part of its contract has fewer than {MIN_PART} bytes");
            return Err(ResponseError::Failed { text });
        }
        Ok(part.is_last)
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
        let mut received = ContractParts::default();
        loop {
            let part = ContractPart::of(&contract, received.text.len() as u64);
            assert!(part.text.len() <= PART);
            if received.add(&part).unwrap() {
                break;
            }
        }
        assert_eq!(received.text, text);
        assert!(ContractPart::of(&contract, u64::MAX).is_last);
    }

    #[test]
    fn a_contract_that_is_too_large_or_in_small_parts_is_refused() {
        let part = |length: usize| ContractPart {
            text: "a".repeat(length),
            is_last: false,
        };
        for small in [0, 1, MIN_PART - 1] {
            let error = ContractParts::default().add(&part(small)).unwrap_err();
            assert!(error.to_string().contains("fewer than"), "{error}");
        }
        let mut received = ContractParts::default();
        for _ in 0..MAX / MIN_PART {
            assert!(!received.add(&part(MIN_PART)).unwrap());
        }
        let error = received.add(&part(MIN_PART)).unwrap_err();
        assert!(error.to_string().contains("more than"), "{error}");
    }
}
