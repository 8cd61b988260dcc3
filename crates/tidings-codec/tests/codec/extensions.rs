//! Extensions of MessagePack, such as the timestamps of JavaScript and Python: skipped where a type
//! does not know the field, refused with a reason where it reads it.

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

/// An extension of each width: of 1, 2, 4, 8 and 16 bytes, and with a length in 1, 2 and 4 bytes.
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
fn an_extension_in_a_field_that_the_type_does_not_know_is_skipped() {
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
        // Within arrays and maps of such a field, too.
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
fn an_extension_that_is_read_is_refused_by_name() {
    fn refuses<T: DeserializeOwned>(payload: &[u8], at: usize) {
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
        refuses::<At<u64>>(&payload, 8);
        refuses::<At<String>>(&payload, 8);
        refuses::<At<Option<f64>>>(&payload, 8);
        refuses::<At<Vec<u8>>>(&payload, 8);
        refuses::<Value>(&payload, 8);
        refuses::<BTreeMap<String, Value>>(&payload, 8);
        refuses::<u64>(&extension, 0);
    }
}

#[test]
fn an_extension_that_is_cut_off_is_refused() {
    for extension in extensions() {
        for len in 1..extension.len().min(20) {
            let payload = user_with(&extension[..len]);
            let error = decode::<User>(&payload).unwrap_err();
            assert!(
                matches!(error, DecodeError::Length { position: 8 }),
                "{error:?}"
            );
        }
    }
}
