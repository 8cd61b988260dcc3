//! MessagePack extensions, such as the timestamps of JavaScript and Python, are skipped in unknown
//! fields and rejected in others.

use std::collections::BTreeMap;
use std::error::Error;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidings_codec::{DecodeError, Format, Payload};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
}

/// Returns an extension of each encoding: of 1, 2, 4, 8 and 16 bytes, and with lengths of 1, 2 and 4
/// bytes.
fn extensions() -> Vec<Vec<u8>> {
    let fixed = [(0xd4, 1), (0xd5, 2), (0xd6, 4), (0xd7, 8), (0xd8, 16)];
    let fixed = fixed.map(|(marker, len)| [vec![marker, 0xff], vec![0xc1; len]].concat());
    let long = |head: &[u8], len| [head, &[0xff], &vec![0xc1; len]].concat();
    let counted = [
        long(&[0xc7, 0], 0),
        long(&[0xc7, 12], 12),
        long(&[0xc8, 1, 0], 256),
        long(&[0xc9, 0, 1, 0, 0], 65_536),
    ];
    fixed.into_iter().chain(counted).collect()
}

/// `{"id": 7, "at": extension}`
fn user_with(extension: &[u8]) -> Vec<u8> {
    [&b"\x82\xa2id\x07\xa2at"[..], extension].concat()
}

fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, DecodeError> {
    Payload::new(Format::MessagePack, payload).decode()
}

#[test]
fn an_extension_in_an_unknown_field_is_skipped() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        user: User,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Either {
        User { id: u64 },
    }
    for extension in extensions() {
        let payload = user_with(&extension);
        assert_eq!(decode::<User>(&payload).unwrap(), User { id: 7 });
        assert_eq!(decode::<Flat>(&payload).unwrap().user, User { id: 7 });
        assert_eq!(decode::<Either>(&payload).unwrap(), Either::User { id: 7 });
        // Also within arrays and maps of such a field.
        let nested = [&[0x92, 0x81, 0xa1, b'x'], &extension[..], &extension].concat();
        assert_eq!(decode::<User>(&user_with(&nested)).unwrap(), User { id: 7 });
        decode::<IgnoredAny>(&extension).unwrap();
    }
}

#[test]
fn an_extension_in_a_tagged_event_is_skipped() {
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "type")]
    enum Change {
        Joined { id: u64 },
    }
    for extension in extensions() {
        let payload = [
            &b"\x83\xa2id\x07\xa2at"[..],
            &extension,
            b"\xa4type\xa6Joined",
        ]
        .concat();
        assert_eq!(
            decode::<Change>(&payload).unwrap(),
            Change::Joined { id: 7 }
        );
    }
}

#[test]
fn an_extension_in_a_known_field_is_an_extension_error() {
    fn rejects<T: DeserializeOwned>(payload: &[u8], at: usize) {
        let error = decode::<T>(payload).map(|_| "read").unwrap_err();
        assert!(
            matches!(error, DecodeError::Extension { position, .. } if position == at),
            "{error:?}"
        );
        assert!(error.to_string().contains("extension"), "{error}");
        assert!(error.source().is_some());
    }
    #[derive(Deserialize)]
    struct At<T> {
        #[serde(rename = "at")]
        _at: T,
    }
    for extension in extensions() {
        let payload = user_with(&extension);
        rejects::<At<u64>>(&payload, 8);
        rejects::<At<String>>(&payload, 8);
        rejects::<At<Option<f64>>>(&payload, 8);
        rejects::<At<Vec<u8>>>(&payload, 8);
        rejects::<Value>(&payload, 8);
        rejects::<BTreeMap<String, Value>>(&payload, 8);
        rejects::<u64>(&extension, 0);
    }
}

#[test]
fn an_extension_that_is_cut_off_is_rejected() {
    for extension in extensions() {
        for len in 1..extension.len().min(20) {
            let payload = user_with(&extension[..len]);
            let error = decode::<User>(&payload).unwrap_err();
            assert!(
                matches!(error, DecodeError::Truncated { position: 8 }),
                "{error:?}"
            );
        }
    }
}
