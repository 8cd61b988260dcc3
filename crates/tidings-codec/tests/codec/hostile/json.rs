//! The hostile JSON frames.

use super::Case;
use super::Outcome::{Mistyped, Read, Refused, Spoiled, Undecodable};

const FROM: &str = "000102030405060708090a0b0c0d0e0f";

pub(crate) fn whole_frame() -> Vec<u8> {
    text(format!(
        r#"{{"v":1,"from":"{FROM}","seq":41,"events":[{{"event":"a.b","to":"others","at":7,"meta":{{"k":"\n"}},"data":{{"id":1}}}}]}}"#
    ))
}

fn text(frame: impl Into<String>) -> Vec<u8> {
    frame.into().into_bytes()
}

/// A frame whose one event has these members beside its payload.
fn beside(members: &str) -> Vec<u8> {
    text(format!(
        r#"{{"v":1,"events":[{{{members},"data":{{"id":1}}}}]}}"#
    ))
}

/// A frame with this payload.
fn payload(payload: impl AsRef<[u8]>) -> Vec<u8> {
    [br#"{"event":"a","data":"#, payload.as_ref(), b"}"].concat()
}

/// A frame with this header and one good event.
fn header(header: &str) -> Vec<u8> {
    text(format!(
        r#"{{{header},"events":[{{"event":"a","data":{{"id":1}}}}]}}"#
    ))
}

fn numbered(from: &str, seq: &str) -> Vec<u8> {
    header(&format!(r#""v":1,"from":{from},"seq":{seq}"#))
}

fn nested(open: &str, inner: &str, close: &str, depth: usize) -> Vec<u8> {
    payload(open.repeat(depth) + inner + &close.repeat(depth))
}

pub(crate) fn cases() -> Vec<Case> {
    [frames(), headers(), events(), payloads(), depths()]
        .into_iter()
        .flatten()
        .collect()
}

fn frames() -> Vec<Case> {
    vec![
        ("nothing", vec![], Refused),
        ("white space", text(" \n\t\r "), Refused),
        ("null", text("null"), Refused),
        ("number", text("17"), Refused),
        ("string", text(r#""event""#), Refused),
        ("array", text("[1,2]"), Refused),
        ("empty object", text("{}"), Refused),
        ("open brace", text("{"), Refused),
        (
            "byte order mark",
            [b"\xef\xbb\xbf", &whole_frame()[..]].concat(),
            Refused,
        ),
        (
            "white space everywhere",
            text(
                "\r\n{ \"v\" :\t1 , \"events\" : [ { \"event\" : \"a\" , \"data\" : { \"id\" : 1 } } ] } \n",
            ),
            Read,
        ),
        ("form feed", text("{\x0c\"event\":\"a\"}"), Refused),
        (
            "two frames",
            [whole_frame(), whole_frame()].concat(),
            Refused,
        ),
        (
            "trailing comma",
            text(r#"{"event":"a","data":{"id":1},}"#),
            Refused,
        ),
        ("leading comma", text(r#"{,"event":"a"}"#), Refused),
        ("missing comma", text(r#"{"event":"a" "data":1}"#), Refused),
        ("missing colon", text(r#"{"event" "a"}"#), Refused),
        ("key without quotes", text(r#"{event:"a"}"#), Refused),
        ("single quotes", text("{'event':'a'}"), Refused),
        ("neither event nor events", text(r#"{"v":1}"#), Refused),
        (
            "both event and events",
            text(r#"{"v":1,"event":"a","events":[]}"#),
            Refused,
        ),
        (
            "unknown keys",
            text(r#"{"x":[1,{"y":null}],"event":"a","data":{"id":1},"z":"\"}"}"#),
            Read,
        ),
        (
            "header last",
            text(format!(
                r#"{{"events":[{{"data":{{"id":1}},"event":"a"}}],"seq":1,"from":"{FROM}","v":1}}"#
            )),
            Read,
        ),
        (
            "larger than a frame",
            text(format!(
                r#"{{"event":"a","data":"{}"}}"#,
                "x".repeat(1 << 20)
            )),
            Refused,
        ),
        (
            "key of 64 KiB",
            text(format!(
                r#"{{"{}":1,"event":"a","data":{{"id":1}}}}"#,
                "k".repeat(65_536)
            )),
            Read,
        ),
        (
            "too many events",
            text(format!(r#"{{"v":1,"events":[0{}]}}"#, ",0".repeat(65_536))),
            Refused,
        ),
        ("an open bracket a byte", vec![b'{'; 1 << 20], Refused),
        (
            "an open array a byte",
            [&b"{\"x\":"[..], &vec![b'['; 1_000_000]].concat(),
            Refused,
        ),
    ]
}

fn headers() -> Vec<Case> {
    let from = &format!("\"{FROM}\"");
    vec![
        ("no version", text(r#"{"events":[]}"#), Refused),
        (
            "no version beside from",
            text(format!(r#"{{"from":{from},"seq":1,"events":[]}}"#)),
            Refused,
        ),
        ("version 2", header(r#""v":2"#), Refused),
        (
            "version of one event",
            text(r#"{"v":2,"event":"a","data":{"id":1}}"#),
            Refused,
        ),
        ("version as text", header(r#""v":"1""#), Refused),
        ("version as float", header(r#""v":1.0"#), Refused),
        ("version null", header(r#""v":null"#), Refused),
        ("version twice", header(r#""v":1,"v":1"#), Refused),
        (
            "version with escapes",
            header(r#""v":1,"\u0076":2"#),
            Refused,
        ),
        ("events twice", header(r#""v":1,"events":[]"#), Refused),
        ("events null", text(r#"{"v":1,"events":null}"#), Refused),
        ("events as object", text(r#"{"v":1,"events":{}}"#), Refused),
        (
            "only from",
            header(&format!(r#""v":1,"from":{from}"#)),
            Refused,
        ),
        ("only seq", header(r#""v":1,"seq":1"#), Refused),
        (
            "from beside one event",
            text(format!(r#"{{"v":1,"from":{from},"seq":1,"event":"a"}}"#)),
            Refused,
        ),
        ("from too short", numbered("\"00\"", "1"), Refused),
        (
            "from too long",
            numbered(&format!("\"{FROM}0\""), "1"),
            Refused,
        ),
        (
            "from in upper case",
            numbered(&from.to_uppercase(), "1"),
            Refused,
        ),
        (
            "from with escapes",
            numbered(&from.replacen('0', "\\u0030", 1), "1"),
            Refused,
        ),
        ("from as number", numbered("1", "1"), Refused),
        ("seq 0", numbered(from, "0"), Refused),
        ("seq below zero", numbered(from, "-1"), Refused),
        ("seq with a leading zero", numbered(from, "01"), Refused),
        ("seq as float", numbered(from, "1.0"), Refused),
        ("seq as power", numbered(from, "1e3"), Refused),
        ("seq as text", numbered(from, "\"1\""), Refused),
        (
            "seq beyond 64 bits",
            numbered(from, "18446744073709551616"),
            Refused,
        ),
        ("seq of 30 digits", numbered(from, &"9".repeat(30)), Refused),
        (
            "last number past the end",
            numbered(from, &u64::MAX.to_string()),
            Refused,
        ),
        (
            "last number at the end",
            numbered(from, &(u64::MAX - 1).to_string()),
            Read,
        ),
        (
            "announcement",
            text(format!(
                r#"{{"v":1,"from":{from},"seq":18446744073709551615,"events":[]}}"#
            )),
            Read,
        ),
    ]
}

fn events() -> Vec<Case> {
    let many = |count: usize| {
        let entries: Vec<_> = (0..count).map(|index| format!(r#""{index}":"""#)).collect();
        beside(&format!(r#""event":"a","meta":{{{}}}"#, entries.join(",")))
    };
    vec![
        ("event null", text(r#"{"v":1,"events":[null]}"#), Spoiled),
        ("event as text", text(r#"{"v":1,"events":["a"]}"#), Spoiled),
        (
            "event as array",
            text(r#"{"v":1,"events":[["a",1]]}"#),
            Spoiled,
        ),
        ("event as nothing", text(r#"{"v":1,"events":[,]}"#), Refused),
        (
            "comma after the last event",
            text(r#"{"v":1,"events":[{"event":"a"},]}"#),
            Refused,
        ),
        ("no name", beside(r#""to":"others""#), Spoiled),
        ("empty name", beside(r#""event":"""#), Spoiled),
        ("name with blanks", beside(r#""event":"a b""#), Spoiled),
        (
            "name of 128",
            beside(&format!(r#""event":"{}""#, "n".repeat(128))),
            Read,
        ),
        (
            "name of 129",
            beside(&format!(r#""event":"{}""#, "n".repeat(129))),
            Spoiled,
        ),
        (
            "name of 64 KiB",
            beside(&format!(r#""event":"{}""#, "n".repeat(65_536))),
            Spoiled,
        ),
        ("name with umlaut", beside(r#""event":"ä""#), Spoiled),
        ("name with escapes", beside(r#""event":"\u0061""#), Spoiled),
        ("name as number", beside(r#""event":1"#), Spoiled),
        ("name with a line end", beside("\"event\":\"a\n\""), Refused),
        ("name twice", beside(r#""event":"a","event":"a""#), Spoiled),
        (
            "name again with escapes",
            beside(r#""event":"a","\u0065vent":"b""#),
            Spoiled,
        ),
        ("data twice", beside(r#""event":"a","data":1"#), Spoiled),
        (
            "to somebody",
            beside(r#""event":"a","to":"somebody""#),
            Spoiled,
        ),
        (
            "to others with escapes",
            beside(r#""event":"a","to":"other\u0073""#),
            Spoiled,
        ),
        ("to a number", beside(r#""event":"a","to":7"#), Spoiled),
        ("to nobody", beside(r#""event":"a","to":null"#), Read),
        ("at before 1970", beside(r#""event":"a","at":-1"#), Spoiled),
        ("at as float", beside(r#""event":"a","at":1.5"#), Spoiled),
        ("at as text", beside(r#""event":"a","at":"7""#), Spoiled),
        (
            "at beyond 64 bits",
            beside(r#""event":"a","at":18446744073709551616"#),
            Spoiled,
        ),
        (
            "meta as array",
            beside(r#""event":"a","meta":["b"]"#),
            Spoiled,
        ),
        (
            "meta within meta",
            beside(r#""event":"a","meta":{"b":{}}"#),
            Spoiled,
        ),
        (
            "meta as number",
            beside(r#""event":"a","meta":{"b":1}"#),
            Undecodable,
        ),
        ("64 of meta", many(64), Read),
        ("65 of meta", many(65), Spoiled),
    ]
}

fn payloads() -> Vec<Case> {
    vec![
        ("null payload", payload("null"), Mistyped),
        ("no payload", text(r#"{"event":"a"}"#), Mistyped),
        ("empty payload", payload(""), Refused),
        (
            "array where a struct is expected",
            payload("[1,null]"),
            Read,
        ),
        ("too short an array for a struct", payload("[]"), Mistyped),
        (
            "number below zero for an id",
            payload(r#"{"id":-1}"#),
            Mistyped,
        ),
        ("field twice", payload(r#"{"id":1,"id":2}"#), Mistyped),
        (
            "30 digits",
            payload(format!(r#"{{"id":{}}}"#, "9".repeat(30))),
            Mistyped,
        ),
        ("1e999", payload(r#"{"id":1e999}"#), Undecodable),
        ("NaN", payload("NaN"), Refused),
        ("nan", payload("nan"), Undecodable),
        ("Infinity", payload("-Infinity"), Refused),
        ("two dots", payload("1.2.3"), Undecodable),
        ("half a word", payload("tru"), Undecodable),
        ("two words", payload("true false"), Refused),
        ("lone surrogate", payload(r#""\ud800""#), Undecodable),
        (
            "surrogates in the wrong order",
            payload(r#""\udc00\ud800""#),
            Undecodable,
        ),
        ("escape of nothing", payload(r#""\x""#), Undecodable),
        ("cut-off \\u", payload(r#""\u12""#), Undecodable),
        ("bad UTF-8", payload(b"\"\xff\xfe\""), Undecodable),
        ("overlong UTF-8", payload(b"\"\xc0\xaf\""), Undecodable),
        (
            "surrogate as UTF-8",
            payload(b"\"\xed\xa0\x80\""),
            Undecodable,
        ),
        (
            "control character in a string",
            payload("\"\u{1}\""),
            Refused,
        ),
        ("NUL in a string", payload("\"\0\""), Refused),
        ("NUL between values", payload("\0{}"), Refused),
        (
            "quote that never closes",
            payload(r#"{"id":1,"x":"}"#),
            Refused,
        ),
        (
            "backslash at the end",
            text(r#"{"event":"a","data":"\"#),
            Refused,
        ),
        (
            "quotes and brackets in a string",
            payload(r#"{"id":1,"x":"\"]}\\"}"#),
            Read,
        ),
        ("brace closed by bracket", payload(r#"{"id":1]"#), Refused),
        ("bracket closed by brace", payload("[1}"), Refused),
        ("one bracket too many", payload("[]]"), Refused),
        ("two commas", payload("[1,,2]"), Refused),
        ("comma at the end", payload("[1,]"), Refused),
        ("key that is no string", payload("{1:2}"), Refused),
        ("key without value", payload(r#"{"id"}"#), Refused),
        ("comment", payload("/* */ 1"), Refused),
    ]
}

fn depths() -> Vec<Case> {
    let flat = |count: usize| payload(format!("[{}0]", "0,".repeat(count - 2)));
    vec![
        ("32 arrays", nested("[", "", "]", 32), Mistyped),
        ("33 arrays", nested("[", "", "]", 33), Spoiled),
        ("600 arrays", nested("[", "", "]", 600), Spoiled),
        ("100,000 arrays", nested("[", "", "]", 100_000), Spoiled),
        (
            "32 objects",
            nested(r#"{"id":1,"inner":"#, "null", "}", 32),
            Read,
        ),
        (
            "33 objects",
            nested(r#"{"id":1,"inner":"#, "null", "}", 33),
            Spoiled,
        ),
        (
            "100,000 objects",
            nested(r#"{"":"#, "0", "}", 100_000),
            Spoiled,
        ),
        ("33 arrays, unclosed", payload("[".repeat(33)), Refused),
        (
            "33 arrays closed as objects",
            payload("[".repeat(33) + &"}".repeat(33)),
            Refused,
        ),
        (
            "100,000 arrays, one unclosed",
            payload("[".repeat(100_000) + &"]".repeat(99_999)),
            Refused,
        ),
        (
            "quotes within 40 arrays",
            nested("[", r#""\"]""#, "]", 40),
            Spoiled,
        ),
        ("65,536 nodes", flat(65_536), Mistyped),
        ("65,537 nodes", flat(65_537), Spoiled),
        (
            "amplified objects",
            payload(format!("[{}0]", r#"{"":0},"#.repeat(140_000))),
            Spoiled,
        ),
    ]
}
