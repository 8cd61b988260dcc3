//! The JSON envelope that a user of a plain Redis client puts around an event to name it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::{NAME, Sample};

/// The channel of the peers.
pub(crate) const CHANNEL: &str = "bench";

#[derive(Serialize)]
struct Sealed<'a, E> {
    event: &'a str,
    data: &'a E,
}

/// The events of a program that knows all of them: serde decodes them in one pass.
#[derive(Deserialize)]
#[expect(
    dead_code,
    reason = "the other events are there for serde to tell them apart"
)]
#[serde(tag = "event", content = "data")]
enum Known<E> {
    #[serde(rename = "order.placed")]
    Wanted(E),
    #[serde(rename = "order.cancelled")]
    Cancelled(u64),
    #[serde(rename = "cache.clear")]
    Clear(String),
}

/// An event of any name. Its payload is decoded only when it is wanted.
#[derive(Deserialize)]
struct Unknown<'a> {
    event: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Encodes an event with its name.
pub(crate) fn seal<E: Sample>(name: &str, event: &E) -> anyhow::Result<Vec<u8>> {
    let sealed = Sealed {
        event: name,
        data: event,
    };
    Ok(serde_json::to_vec(&sealed)?)
}

/// Decodes an event, if it is the wanted one. With one name serde decodes in one pass; with many,
/// looking at the name first is much cheaper.
pub(crate) fn open<E: Sample>(bytes: &[u8], names: u64) -> anyhow::Result<Option<E>> {
    if names == 1 {
        return Ok(match serde_json::from_slice(bytes)? {
            Known::Wanted(event) => Some(event),
            Known::Cancelled(_) | Known::Clear(_) => None,
        });
    }
    let unknown: Unknown<'_> = serde_json::from_slice(bytes)?;
    if unknown.event != NAME {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(unknown.data.get())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Small;

    #[test]
    fn only_the_wanted_event_is_decoded() {
        let event = Small::of_size(32).stamped(7, 1);
        for names in [1, 16] {
            let sealed = seal(NAME, &event).unwrap();
            assert_eq!(open::<Small>(&sealed, names).unwrap().unwrap().number(), 7);
        }
        let noise = seal("noise.3", &event).unwrap();
        assert!(open::<Small>(&noise, 16).unwrap().is_none());
    }
}
