//! The hostile MessagePack frames.

use super::Case;
use super::Outcome::{Malformed, Mistyped, Read, Rejected, Undecodable};

const VERSION: &[u8] = &[1];
const NIL: &[u8] = &[0xc0];
const FROM: &[u8] = &[
    0xc4, 16, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
];
const NAME: &[u8] = &[0xa1, b'a'];
/// `{"id": 1}` as a `bin`.
const PAYLOAD: &[u8] = &[0xc4, 5, 0x81, 0xa2, b'i', b'd', 1];

pub(crate) fn whole_frame() -> Vec<u8> {
    let event = [
        &[0x95],
        NAME,
        PAYLOAD,
        b"\xa6others",
        &[0xcd, 1, 0],
        b"\x81\xa1k\xa1v",
    ]
    .concat();
    frame(&[&[0x94], VERSION, FROM, &[41], &[0x91], &event])
}

fn frame(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Returns a frame with this header and one valid event.
fn header(version: &[u8], from: &[u8], seq: &[u8]) -> Vec<u8> {
    frame(&[&[0x94], version, from, seq, &[0x91, 0x92], NAME, PAYLOAD])
}

/// Returns a frame with these events.
fn events(events: &[u8]) -> Vec<u8> {
    frame(&[&[0x94], VERSION, NIL, NIL, events])
}

/// Returns a frame with one event of these fields.
fn fields(fields: &[&[u8]]) -> Vec<u8> {
    let count = u8::try_from(fields.len()).unwrap();
    events(&[&[0x91, 0x90 | count], fields.concat().as_slice()].concat())
}

/// Returns a frame with this payload.
fn payload(payload: impl AsRef<[u8]>) -> Vec<u8> {
    let len = u32::try_from(payload.as_ref().len()).unwrap().to_be_bytes();
    fields(&[NAME, &[&[0xc6], &len[..], payload.as_ref()].concat()])
}

fn nested(open: &[u8], inner: u8, depth: usize) -> Vec<u8> {
    payload([open.repeat(depth), vec![inner]].concat())
}

/// Returns a marker with a length of 4 GiB.
fn four_g(marker: u8) -> Vec<u8> {
    vec![marker, 0xff, 0xff, 0xff, 0xff]
}

pub(crate) fn cases() -> Vec<Case> {
    [
        headers(),
        event_lists(),
        event_fields(),
        payloads(),
        depths(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn headers() -> Vec<Case> {
    let u64_max = &[&[0xcf], &u64::MAX.to_be_bytes()[..]].concat();
    let before_max = &[&[0xcf], &(u64::MAX - 1).to_be_bytes()[..]].concat();
    vec![
        ("empty array", vec![0x90], Rejected),
        ("array of 3", frame(&[&[0x93], VERSION, NIL, NIL]), Rejected),
        (
            "array of 5",
            frame(&[&[0x95], VERSION, NIL, NIL, &[0x90], NIL]),
            Rejected,
        ),
        (
            "array 16 for a frame",
            frame(&[&[0xdc, 0, 4], VERSION, FROM, &[1], &[0x90]]),
            Read,
        ),
        (
            "array 32 for a frame",
            frame(&[&[0xdd, 0, 0, 0, 4], VERSION, FROM, &[1], &[0x90]]),
            Read,
        ),
        (
            "array 32 of 4 G for a frame",
            frame(&[&four_g(0xdd), VERSION]),
            Rejected,
        ),
        ("map for a frame", vec![0x81, 0xa1, b'v', 1], Rejected),
        ("nil", vec![0xc0], Rejected),
        ("string", b"\xa5hello".to_vec(), Rejected),
        ("0xc1", vec![0xc1], Rejected),
        ("version 2", header(&[2], FROM, &[1]), Rejected),
        ("version nil", header(NIL, FROM, &[1]), Rejected),
        ("version as string", header(b"\xa11", FROM, &[1]), Rejected),
        (
            "version in 8 bytes",
            header(&[0xcf, 0, 0, 0, 0, 0, 0, 0, 1], FROM, &[1]),
            Read,
        ),
        (
            "version with a sign",
            header(&[0xd0, 1], FROM, &[0xd3, 0, 0, 0, 0, 0, 0, 0, 1]),
            Read,
        ),
        (
            "from of 15 bytes",
            header(VERSION, &[&[0xc4, 15], &[0; 15][..]].concat(), &[1]),
            Rejected,
        ),
        (
            "from of 17 bytes",
            header(VERSION, &[&[0xc4, 17], &[0; 17][..]].concat(), &[1]),
            Rejected,
        ),
        (
            "from as string",
            header(VERSION, &[&[0xb0], &[b'0'; 16][..]].concat(), &[1]),
            Rejected,
        ),
        (
            "from in bin 32",
            header(VERSION, &[&[0xc6, 0, 0, 0, 16], &FROM[2..]].concat(), &[1]),
            Read,
        ),
        ("only from", header(VERSION, FROM, NIL), Rejected),
        ("only seq", header(VERSION, NIL, &[1]), Rejected),
        ("neither", header(VERSION, NIL, NIL), Read),
        ("seq 0", header(VERSION, FROM, &[0]), Rejected),
        ("seq below zero", header(VERSION, FROM, &[0xff]), Rejected),
        (
            "seq below zero in 8 bytes",
            header(
                VERSION,
                FROM,
                &[0xd3, 255, 255, 255, 255, 255, 255, 255, 255],
            ),
            Rejected,
        ),
        (
            "seq as float",
            header(VERSION, FROM, &[0xca, 0x3f, 0x80, 0, 0]),
            Rejected,
        ),
        (
            "last sequence number beyond 64 bits",
            header(VERSION, FROM, u64_max),
            Rejected,
        ),
        (
            "last sequence number of 64 bits",
            header(VERSION, FROM, before_max),
            Read,
        ),
        (
            "position",
            frame(&[&[0x94], VERSION, FROM, u64_max, &[0x90]]),
            Read,
        ),
    ]
}

fn event_lists() -> Vec<Case> {
    vec![
        ("events nil", events(NIL), Rejected),
        ("events as map", events(&[0x80]), Rejected),
        ("events as bytes", events(PAYLOAD), Rejected),
        ("4 G events", events(&four_g(0xdd)), Rejected),
        (
            "too many events",
            events(&[&[0xdd, 0, 1, 0, 1][..], &[0xc0; 65_537]].concat()),
            Rejected,
        ),
        (
            "65,536 bad events",
            events(&[&[0xdd, 0, 1, 0, 0][..], &[0xc0; 65_536]].concat()),
            Malformed,
        ),
        ("larger than a frame", payload(vec![0; 1 << 20]), Rejected),
        ("event nil", events(&[0x91, 0xc0]), Malformed),
        ("event as string", events(&[0x91, 0xa1, b'a']), Malformed),
        (
            "event as map",
            events(&[0x91, 0x81, 0xa1, b'a', 1]),
            Malformed,
        ),
        ("event of nothing", events(&[0x91, 0x90]), Malformed),
        ("event of 1", events(&[0x91, 0x91, 0xa1, b'a']), Malformed),
        (
            "event of 6",
            fields(&[NAME, PAYLOAD, NIL, NIL, NIL, NIL]),
            Malformed,
        ),
        (
            "event of 4 G",
            events(&[&[0x91][..], &four_g(0xdd)].concat()),
            Rejected,
        ),
        (
            "event as map of 4 G",
            events(&[&[0x91][..], &four_g(0xdf)].concat()),
            Rejected,
        ),
        ("event as 0xc1", events(&[0x91, 0xc1]), Rejected),
        ("event as extension", events(&[0x91, 0xd4, 1, 1]), Malformed),
        (
            "event as 100,000 arrays",
            events(&[&[0x91][..], &[0x91; 100_000], NIL].concat()),
            Malformed,
        ),
        (
            "event as 100,000 arrays, cut off",
            events(&[&[0x91][..], &[0x91; 100_000]].concat()),
            Rejected,
        ),
    ]
}

fn event_fields() -> Vec<Case> {
    let meta = |entries: u8| {
        [
            &[0xde, 0, entries],
            [0xa0; 2].repeat(entries.into()).as_slice(),
        ]
        .concat()
    };
    vec![
        ("name nil", fields(&[NIL, PAYLOAD]), Malformed),
        (
            "name as bytes",
            fields(&[&[0xc4, 1, b'a'], PAYLOAD]),
            Malformed,
        ),
        ("empty name", fields(&[&[0xa0], PAYLOAD]), Malformed),
        (
            "name with blanks",
            fields(&[b"\xa3a b", PAYLOAD]),
            Malformed,
        ),
        (
            "name of 128",
            fields(&[&[&[0xd9, 128], &[b'n'; 128][..]].concat(), PAYLOAD]),
            Read,
        ),
        (
            "name of 129",
            fields(&[&[&[0xd9, 129], &[b'n'; 129][..]].concat(), PAYLOAD]),
            Malformed,
        ),
        (
            "name of 64 KiB",
            fields(&[&[&[0xda, 255, 255], &[b'n'; 65_535][..]].concat(), PAYLOAD]),
            Malformed,
        ),
        ("name of 4 G", fields(&[&four_g(0xdb), PAYLOAD]), Rejected),
        (
            "name in bad UTF-8",
            fields(&[&[0xa1, 0xff], PAYLOAD]),
            Malformed,
        ),
        ("payload as string", fields(&[NAME, NAME]), Malformed),
        (
            "payload as map",
            fields(&[NAME, &[0x81, 0xa2, b'i', b'd', 1]]),
            Malformed,
        ),
        ("payload nil", fields(&[NAME, NIL]), Malformed),
        ("payload of 4 G", fields(&[NAME, &four_g(0xc6)]), Rejected),
        ("to nil", fields(&[NAME, PAYLOAD, NIL]), Read),
        (
            "to an invalid node",
            fields(&[NAME, PAYLOAD, b"\xa8somebody"]),
            Malformed,
        ),
        (
            "to 15 bytes",
            fields(&[NAME, PAYLOAD, &[&[0xc4, 15], &[0; 15][..]].concat()]),
            Malformed,
        ),
        ("to a number", fields(&[NAME, PAYLOAD, &[7]]), Malformed),
        (
            "at below zero",
            fields(&[NAME, PAYLOAD, NIL, &[0xff]]),
            Malformed,
        ),
        (
            "at as float",
            fields(&[NAME, PAYLOAD, NIL, &[0xcb, 0, 0, 0, 0, 0, 0, 0, 0]]),
            Malformed,
        ),
        (
            "at as timestamp extension",
            fields(&[NAME, PAYLOAD, NIL, &[0xd6, 0xff, 0, 0, 0, 0]]),
            Malformed,
        ),
        (
            "meta as array",
            fields(&[NAME, PAYLOAD, NIL, NIL, &[0x90]]),
            Malformed,
        ),
        (
            "meta as number",
            fields(&[NAME, PAYLOAD, NIL, NIL, b"\x81\xa1k\x01"]),
            Malformed,
        ),
        (
            "meta within meta",
            fields(&[NAME, PAYLOAD, NIL, NIL, b"\x81\xa1k\x81\xa1k\xa1v"]),
            Malformed,
        ),
        (
            "meta in bad UTF-8",
            fields(&[NAME, PAYLOAD, NIL, NIL, b"\x81\xa1k\xa1\xff"]),
            Undecodable,
        ),
        (
            "64 of meta",
            fields(&[NAME, PAYLOAD, NIL, NIL, &meta(64)]),
            Read,
        ),
        (
            "65 of meta",
            fields(&[NAME, PAYLOAD, NIL, NIL, &meta(65)]),
            Malformed,
        ),
        (
            "meta of 4 G",
            fields(&[NAME, PAYLOAD, NIL, NIL, &four_g(0xdf)]),
            Rejected,
        ),
    ]
}

fn payloads() -> Vec<Case> {
    vec![
        ("empty payload", payload([]), Mistyped),
        ("nil payload", payload(NIL), Mistyped),
        (
            "array where a struct is expected",
            payload([0x92, 1, 0xc0]),
            Read,
        ),
        ("too short an array for a struct", payload([0x90]), Mistyped),
        (
            "too long an array for a struct",
            payload([0x93, 1, 0xc0, 1]),
            Mistyped,
        ),
        (
            "unknown field",
            payload(b"\x82\xa2id\x01\xa1x\x93\x01\x02\x03"),
            Read,
        ),
        (
            "field twice",
            payload(b"\x82\xa2id\x01\xa2id\x02"),
            Mistyped,
        ),
        (
            "number below zero for an id",
            payload(b"\x81\xa2id\xff"),
            Mistyped,
        ),
        (
            "NaN",
            payload([0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]),
            Mistyped,
        ),
        (
            "map with a number as key",
            payload([0x81, 1, 1]),
            Undecodable,
        ),
        ("bad UTF-8", payload([0xa2, 0xff, 0xfe]), Undecodable),
        ("trailing byte", payload([0x90, 0xc0]), Undecodable),
        (
            "trailing garbage",
            payload([1, 0xc1, 0xff, 0xff]),
            Undecodable,
        ),
        ("0xc1", payload([0xc1]), Undecodable),
        ("0xc1 in an array", payload([0x91, 0xc1]), Undecodable),
        ("fixext", payload([0xd4, 1, 1]), Undecodable),
        ("extension", payload([0xc7, 1, 1, 1]), Undecodable),
        (
            "extension in an extension",
            payload([0xc7, 4, 1, 0xd5, 1, 1, 1]),
            Undecodable,
        ),
        ("array 32 of 4 G", payload(four_g(0xdd)), Undecodable),
        ("map 32 of 4 G", payload(four_g(0xdf)), Undecodable),
        ("bin 32 of 4 G", payload(four_g(0xc6)), Undecodable),
        ("str 32 of 4 G", payload(four_g(0xdb)), Undecodable),
        ("ext 32 of 4 G", payload(four_g(0xc9)), Undecodable),
        (
            "map 32 of 2 G",
            payload([0xdf, 0x80, 0, 0, 0, 0xc0]),
            Undecodable,
        ),
        ("array cut off", payload([0x93, 1, 2]), Undecodable),
        (
            "map cut off after a key",
            payload([0x81, 0xa1, b'k']),
            Undecodable,
        ),
        ("number cut off", payload([0xcf, 0, 0]), Undecodable),
        ("length cut off", payload([0xdb, 0, 0]), Undecodable),
        (
            "many small lengths",
            payload([0xdc, 2, 0].repeat(600)),
            Undecodable,
        ),
    ]
}

fn depths() -> Vec<Case> {
    let flat = |nodes: u32| {
        let elements = nodes - 1;
        payload(
            [
                &[0xdd],
                &elements.to_be_bytes()[..],
                &vec![0xc0; elements as usize],
            ]
            .concat(),
        )
    };
    vec![
        ("32 arrays", nested(&[0x91], 0xc0, 32), Mistyped),
        ("33 arrays", nested(&[0x91], 0xc0, 33), Undecodable),
        ("600 arrays", nested(&[0x91], 0xc0, 600), Undecodable),
        (
            "100,000 arrays",
            nested(&[0x91], 0xc0, 100_000),
            Undecodable,
        ),
        (
            "32 maps",
            nested(b"\x82\xa2id\x01\xa5inner", 0xc0, 32),
            Read,
        ),
        (
            "33 maps",
            nested(b"\x82\xa2id\x01\xa5inner", 0xc0, 33),
            Undecodable,
        ),
        (
            "100,000 maps",
            nested(b"\x81\xa0", 0xc0, 100_000),
            Undecodable,
        ),
        (
            "100,000 maps as keys",
            nested(&[0x81], 0xc0, 100_000),
            Undecodable,
        ),
        ("65,536 values", flat(65_536), Mistyped),
        ("65,537 values", flat(65_537), Undecodable),
        ("a megabyte of nil", flat(1_000_000), Undecodable),
    ]
}
