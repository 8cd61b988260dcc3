//! The hostile JSON frames.

use super::Case;
use super::Outcome::{Malformed, Mistyped, Read, Rejected, Undecodable};

const FROM: &str = "000102030405060708090a0b0c0d0e0f";

pub(crate) fn whole_frame() -> Vec<u8> {
    text(format!(
        r#"{{"v":1,"from":"{FROM}","seq":41,"events":[{{"event":"a.b","to":"others","at":7,"meta":{{"k":"\n"}},"data":{{"id":1}}}}]}}"#
    ))
}

fn text(frame: impl Into<String>) -> Vec<u8> {
    frame.into().into_bytes()
}

/// Returns a frame whose event has these members next to its payload.
fn members(members: &str) -> Vec<u8> {
    text(format!(
        r#"{{"v":1,"events":[{{{members},"data":{{"id":1}}}}]}}"#
    ))
}

/// Returns a frame with this payload.
fn payload(payload: impl AsRef<[u8]>) -> Vec<u8> {
    [br#"{"event":"a","data":"#, payload.as_ref(), b"}"].concat()
}

/// Returns a frame with this header and one valid event.
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
        ("nothing", vec![], Rejected),
        ("white space", text(" \n\t\r "), Rejected),
        ("null", text("null"), Rejected),
        ("number", text("17"), Rejected),
        ("string", text(r#""event""#), Rejected),
        ("array", text("[1,2]"), Rejected),
        ("empty object", text("{}"), Rejected),
        ("open brace", text("{"), Rejected),
        (
            "byte order mark",
            [b"\xef\xbb\xbf", &whole_frame()[..]].concat(),
            Rejected,
        ),
        (
            "white space everywhere",
            text(
                "\r\n{ \"v\" :\t1 , \"events\" : [ { \"event\" : \"a\" , \"data\" : { \"id\" : 1 } } ] } \n",
            ),
            Read,
        ),
        ("form feed", text("{\x0c\"event\":\"a\"}"), Rejected),
        (
            "two frames",
            [whole_frame(), whole_frame()].concat(),
            Rejected,
        ),
        (
            "trailing comma",
            text(r#"{"event":"a","data":{"id":1},}"#),
            Rejected,
        ),
        ("leading comma", text(r#"{,"event":"a"}"#), Rejected),
        ("missing comma", text(r#"{"event":"a" "data":1}"#), Rejected),
        ("missing colon", text(r#"{"event" "a"}"#), Rejected),
        ("key without quotes", text(r#"{event:"a"}"#), Rejected),
        ("single quotes", text("{'event':'a'}"), Rejected),
        ("neither event nor events", text(r#"{"v":1}"#), Rejected),
        (
            "both event and events",
            text(r#"{"v":1,"event":"a","events":[]}"#),
            Rejected,
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
            Rejected,
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
            Rejected,
        ),
        ("an open bracket a byte", vec![b'{'; 1 << 20], Rejected),
        (
            "an open array a byte",
            [&b"{\"x\":"[..], &vec![b'['; 1_000_000]].concat(),
            Rejected,
        ),
    ]
}

fn headers() -> Vec<Case> {
    let from = &format!("\"{FROM}\"");
    vec![
        ("no version", text(r#"{"events":[]}"#), Rejected),
        (
            "no version next to from",
            text(format!(r#"{{"from":{from},"seq":1,"events":[]}}"#)),
            Rejected,
        ),
        ("version 2", header(r#""v":2"#), Rejected),
        (
            "version of one event",
            text(r#"{"v":2,"event":"a","data":{"id":1}}"#),
            Rejected,
        ),
        ("version as string", header(r#""v":"1""#), Rejected),
        ("version as float", header(r#""v":1.0"#), Rejected),
        ("version null", header(r#""v":null"#), Rejected),
        ("version twice", header(r#""v":1,"v":1"#), Rejected),
        (
            "version with escapes",
            header(r#""v":1,"\u0076":2"#),
            Rejected,
        ),
        ("events twice", header(r#""v":1,"events":[]"#), Rejected),
        ("events null", text(r#"{"v":1,"events":null}"#), Rejected),
        ("events as object", text(r#"{"v":1,"events":{}}"#), Rejected),
        (
            "only from",
            header(&format!(r#""v":1,"from":{from}"#)),
            Rejected,
        ),
        ("only seq", header(r#""v":1,"seq":1"#), Rejected),
        (
            "from next to one event",
            text(format!(r#"{{"v":1,"from":{from},"seq":1,"event":"a"}}"#)),
            Rejected,
        ),
        ("from too short", numbered("\"00\"", "1"), Rejected),
        (
            "from too long",
            numbered(&format!("\"{FROM}0\""), "1"),
            Rejected,
        ),
        (
            "from in upper case",
            numbered(&from.to_uppercase(), "1"),
            Rejected,
        ),
        (
            "from with escapes",
            numbered(&from.replacen('0', "\\u0030", 1), "1"),
            Rejected,
        ),
        ("from as number", numbered("1", "1"), Rejected),
        ("seq 0", numbered(from, "0"), Rejected),
        ("seq below zero", numbered(from, "-1"), Rejected),
        ("seq with a leading zero", numbered(from, "01"), Rejected),
        ("seq as float", numbered(from, "1.0"), Rejected),
        ("seq as power", numbered(from, "1e3"), Rejected),
        ("seq as string", numbered(from, "\"1\""), Rejected),
        (
            "seq beyond 64 bits",
            numbered(from, "18446744073709551616"),
            Rejected,
        ),
        (
            "seq of 30 digits",
            numbered(from, &"9".repeat(30)),
            Rejected,
        ),
        (
            "last sequence number beyond 64 bits",
            numbered(from, &u64::MAX.to_string()),
            Rejected,
        ),
        (
            "last sequence number of 64 bits",
            numbered(from, &(u64::MAX - 1).to_string()),
            Read,
        ),
        (
            "position",
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
        members(&format!(r#""event":"a","meta":{{{}}}"#, entries.join(",")))
    };
    vec![
        ("event null", text(r#"{"v":1,"events":[null]}"#), Malformed),
        (
            "event as string",
            text(r#"{"v":1,"events":["a"]}"#),
            Malformed,
        ),
        (
            "event as array",
            text(r#"{"v":1,"events":[["a",1]]}"#),
            Malformed,
        ),
        (
            "event as nothing",
            text(r#"{"v":1,"events":[,]}"#),
            Rejected,
        ),
        (
            "comma after the last event",
            text(r#"{"v":1,"events":[{"event":"a"},]}"#),
            Rejected,
        ),
        ("no name", members(r#""to":"others""#), Malformed),
        ("empty name", members(r#""event":"""#), Malformed),
        ("name with blanks", members(r#""event":"a b""#), Malformed),
        (
            "name of 128",
            members(&format!(r#""event":"{}""#, "n".repeat(128))),
            Read,
        ),
        (
            "name of 129",
            members(&format!(r#""event":"{}""#, "n".repeat(129))),
            Malformed,
        ),
        (
            "name of 64 KiB",
            members(&format!(r#""event":"{}""#, "n".repeat(65_536))),
            Malformed,
        ),
        ("name with umlaut", members(r#""event":"ä""#), Malformed),
        (
            "name with escapes",
            members(r#""event":"\u0061""#),
            Malformed,
        ),
        ("name as number", members(r#""event":1"#), Malformed),
        (
            "name with a line end",
            members("\"event\":\"a\n\""),
            Rejected,
        ),
        (
            "name twice",
            members(r#""event":"a","event":"a""#),
            Malformed,
        ),
        (
            "name again with escapes",
            members(r#""event":"a","\u0065vent":"b""#),
            Malformed,
        ),
        ("data twice", members(r#""event":"a","data":1"#), Malformed),
        (
            "to an invalid node",
            members(r#""event":"a","to":"somebody""#),
            Malformed,
        ),
        (
            "to others with escapes",
            members(r#""event":"a","to":"other\u0073""#),
            Malformed,
        ),
        ("to a number", members(r#""event":"a","to":7"#), Malformed),
        ("to null", members(r#""event":"a","to":null"#), Read),
        (
            "at before 1970",
            members(r#""event":"a","at":-1"#),
            Malformed,
        ),
        ("at as float", members(r#""event":"a","at":1.5"#), Malformed),
        (
            "at as string",
            members(r#""event":"a","at":"7""#),
            Malformed,
        ),
        (
            "at beyond 64 bits",
            members(r#""event":"a","at":18446744073709551616"#),
            Malformed,
        ),
        (
            "meta as array",
            members(r#""event":"a","meta":["b"]"#),
            Malformed,
        ),
        (
            "meta within meta",
            members(r#""event":"a","meta":{"b":{}}"#),
            Malformed,
        ),
        (
            "meta as number",
            members(r#""event":"a","meta":{"b":1}"#),
            Undecodable,
        ),
        ("64 of meta", many(64), Read),
        ("65 of meta", many(65), Malformed),
    ]
}

fn payloads() -> Vec<Case> {
    vec![
        ("null payload", payload("null"), Mistyped),
        ("no payload", text(r#"{"event":"a"}"#), Mistyped),
        ("empty payload", payload(""), Rejected),
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
        ("NaN", payload("NaN"), Rejected),
        ("nan", payload("nan"), Undecodable),
        ("Infinity", payload("-Infinity"), Rejected),
        ("two dots", payload("1.2.3"), Undecodable),
        ("half a word", payload("tru"), Undecodable),
        ("two words", payload("true false"), Rejected),
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
            Rejected,
        ),
        ("NUL in a string", payload("\"\0\""), Rejected),
        ("NUL between values", payload("\0{}"), Rejected),
        (
            "quote that never closes",
            payload(r#"{"id":1,"x":"}"#),
            Rejected,
        ),
        (
            "backslash at the end",
            text(r#"{"event":"a","data":"\"#),
            Rejected,
        ),
        (
            "quotes and brackets in a string",
            payload(r#"{"id":1,"x":"\"]}\\"}"#),
            Read,
        ),
        ("brace closed by bracket", payload(r#"{"id":1]"#), Rejected),
        ("bracket closed by brace", payload("[1}"), Rejected),
        ("one bracket too many", payload("[]]"), Rejected),
        ("two commas", payload("[1,,2]"), Rejected),
        ("comma at the end", payload("[1,]"), Rejected),
        ("number as key", payload("{1:2}"), Rejected),
        ("key without value", payload(r#"{"id"}"#), Rejected),
        ("comment", payload("/* */ 1"), Rejected),
    ]
}

fn depths() -> Vec<Case> {
    let flat = |count: usize| payload(format!("[{}0]", "0,".repeat(count - 2)));
    vec![
        ("32 arrays", nested("[", "", "]", 32), Mistyped),
        ("33 arrays", nested("[", "", "]", 33), Malformed),
        ("600 arrays", nested("[", "", "]", 600), Malformed),
        ("100,000 arrays", nested("[", "", "]", 100_000), Malformed),
        (
            "32 objects",
            nested(r#"{"id":1,"inner":"#, "null", "}", 32),
            Read,
        ),
        (
            "33 objects",
            nested(r#"{"id":1,"inner":"#, "null", "}", 33),
            Malformed,
        ),
        (
            "100,000 objects",
            nested(r#"{"":"#, "0", "}", 100_000),
            Malformed,
        ),
        ("33 arrays, unclosed", payload("[".repeat(33)), Rejected),
        (
            "33 arrays closed as objects",
            payload("[".repeat(33) + &"}".repeat(33)),
            Rejected,
        ),
        (
            "100,000 arrays, one unclosed",
            payload("[".repeat(100_000) + &"]".repeat(99_999)),
            Rejected,
        ),
        (
            "quotes within 40 arrays",
            nested("[", r#""\"]""#, "]", 40),
            Malformed,
        ),
        ("65,536 values", flat(65_536), Mistyped),
        ("65,537 values", flat(65_537), Malformed),
        (
            "amplified objects",
            payload(format!("[{}0]", r#"{"":0},"#.repeat(140_000))),
            Malformed,
        ),
    ]
}
