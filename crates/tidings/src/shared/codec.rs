//! Encodes and decodes shared values. A panic of the application's serde code is an error.

use std::sync::Arc;

use serde::de::{self, DeserializeOwned};
use serde::ser;
use tidings_codec::{DecodeError, EncodeError, Format, Payload};

use crate::error::shared::{LoadError, StoreError};
use crate::error::shown;
use crate::shared::options::Shareable;
use crate::task::panic::caught;

/// Returns the payload, and the value as every process will decode it. A value that cannot be decoded
/// again must not be written: no process could read it.
pub(super) fn encoded<T: Shareable>(
    shared: &str,
    format: Format,
    value: &T,
) -> Result<(Vec<u8>, T), StoreError> {
    let shared = shared.to_owned();
    let mut payload = Vec::new();
    let written = encode(format, value, &mut payload);
    let error = match written.map(|()| decode(Payload::new(format, &payload))) {
        Ok(Ok(value)) => return Ok((payload, value)),
        Ok(Err(DecodeError::TooDeep)) => EncodeError::TooDeep,
        Ok(Err(DecodeError::TooManyValues)) => EncodeError::TooManyValues,
        Ok(Err(source)) => {
            let source = Arc::new(source);
            let source = LoadError::Decode {
                shared: shared.clone(),
                source,
            };
            return Err(StoreError::Load { shared, source });
        }
        Err(error) => error,
    };
    let source = Arc::new(error);
    Err(StoreError::Encode { shared, source })
}

fn encode<T: Shareable>(format: Format, value: &T, into: &mut Vec<u8>) -> Result<(), EncodeError> {
    caught(|| format.encode(value, into)).unwrap_or_else(|panic| {
        let words = format_args!("it panicked: {panic}");
        Err(EncodeError::Json(ser::Error::custom(words)))
    })
}

/// Reads a value as it is written in Redis.
pub(super) fn read<T: DeserializeOwned>(
    shared: &str,
    format: &str,
    payload: &[u8],
) -> Result<T, LoadError> {
    let shared = || shared.to_owned();
    let known = format.parse().map_err(|_| LoadError::Format {
        shared: shared(),
        format: shown(format),
    })?;
    // An event may have an empty payload, a value may not.
    if payload.is_empty() {
        return Err(LoadError::Foreign {
            shared: shared(),
            words: "the value is empty".to_owned(),
        });
    }
    decode(Payload::new(known, payload)).map_err(|source| LoadError::Decode {
        shared: shared(),
        source: Arc::new(source),
    })
}

pub(super) fn decode<T: DeserializeOwned>(payload: Payload<'_>) -> Result<T, DecodeError> {
    caught(|| payload.decode()).unwrap_or_else(|panic| {
        let words = format_args!("it panicked: {panic}");
        Err(DecodeError::Json(de::Error::custom(words)))
    })
}
