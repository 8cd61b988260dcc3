//! Scalars, strings, bytes and library types, in every place of a payload.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU64, Wrapping};
use std::ops::{Bound, Range, RangeInclusive};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::places::{at_edges, bare, buffered, everywhere};
use super::table::{Expected, SAME, Table};

const NO_FLOAT: &str = "not finite";
const NO_128: &str = "128 bits";

#[test]
fn numbers_of_every_width_are_read_back() {
    let mut table = Table::default();
    let all = &mut table;
    at_edges(all, SAME, "i8", &i8::MIN);
    at_edges(all, SAME, "i16", &i16::MIN);
    at_edges(all, SAME, "i32", &i32::MIN);
    at_edges(all, SAME, "i64", &i64::MIN);
    at_edges(all, SAME, "i64 max", &i64::MAX);
    at_edges(all, SAME, "isize", &isize::MIN);
    at_edges(all, SAME, "u8", &u8::MAX);
    at_edges(all, SAME, "u16", &u16::MAX);
    at_edges(all, SAME, "u32", &u32::MAX);
    everywhere(all, SAME, "u64", &u64::MAX);
    at_edges(all, SAME, "usize", &usize::MAX);
    everywhere(all, SAME, "zero", &0_u64);
    at_edges(all, SAME, "minus one", &-1_i64);
    for at in [
        0_u64,
        127,
        128,
        255,
        256,
        65_535,
        65_536,
        1 << 32,
        (1 << 53) + 1,
        1 << 63,
    ] {
        table.same(&format!("{at}"), &at);
    }
    for at in [
        -32_i64,
        -33,
        -128,
        -129,
        -32_768,
        -32_769,
        -(1 << 31),
        -(1 << 31) - 1,
    ] {
        table.same(&format!("{at}"), &at);
    }
    at_edges(&mut table, SAME, "nonzero", &NonZeroU64::MAX);
    at_edges(&mut table, SAME, "wrapping", &Wrapping(u64::MAX));
    at_edges(&mut table, SAME, "true", &true);
    table.same("false", &false);
    table.check();
}

#[test]
fn floats_are_read_back_bit_for_bit_or_rejected_in_json() {
    let mut table = Table::default();
    let all = &mut table;
    at_edges(all, SAME, "f32", &f32::MAX);
    everywhere(all, SAME, "f64", &f64::MAX);
    everywhere(all, SAME, "f64 with many digits", &(0.1_f64 + 0.2));
    at_edges(all, SAME, "f32 with many digits", &(0.1_f32 + 0.2));
    everywhere(all, SAME, "whole f64", &1.0_f64);
    everywhere(all, SAME, "minus zero", &-0.0_f64);
    for float in [
        f64::MIN_POSITIVE,
        5e-324,
        f64::EPSILON,
        1e300,
        1e-300,
        123_456_789.123_456_78,
        8.988_465_674_311_58e307,
        1.7e18,
        9_007_199_254_740_993.0,
    ] {
        table.same(&format!("{float:e}"), &float);
        table.same(&format!("-{float:e}"), &-float);
    }
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..2_000 {
        bits = bits
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let float = f64::from_bits(bits);
        if float.is_finite() {
            table.same("any f64", &float);
        }
        let short = f32::from_bits((bits >> 32) as u32);
        if short.is_finite() {
            table.same("any f32", &short);
        }
    }
    let rejected = [Expected::Rejected(NO_FLOAT), Expected::Same];
    for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        everywhere(&mut table, rejected, &float.to_string(), &float);
        bare(&mut table, rejected, "an option of one", &Some(float));
    }
    at_edges(&mut table, rejected, "f32 nan", &f32::NAN);
    table.check();
}

#[test]
fn numbers_of_128_bits_are_rejected() {
    let mut table = Table::default();
    let rejected = [Expected::Rejected(NO_128); 2];
    everywhere(&mut table, rejected, "u128", &u128::MAX);
    everywhere(&mut table, rejected, "small u128", &7_u128);
    at_edges(&mut table, rejected, "i128", &i128::MIN);
    table.check();
}

#[test]
fn strings_and_bytes_are_read_back() {
    let mut table = Table::default();
    let all = &mut table;
    everywhere(all, SAME, "char", &'a');
    everywhere(all, SAME, "wide char", &'\u{1f600}');
    at_edges(all, SAME, "char nul", &'\0');
    everywhere(all, SAME, "text", &"text".to_owned());
    everywhere(all, SAME, "no text", &String::new());
    everywhere(
        all,
        SAME,
        "escapes",
        &"\"\\/\u{8}\u{c}\n\r\t\0\u{1b}\u{7f}\u{2028}\u{202e}\u{feff}\u{10ffff}".to_owned(),
    );
    everywhere(all, SAME, "a number as text", &"7".to_owned());
    everywhere(all, SAME, "null as text", &"null".to_owned());
    for len in [31, 32, 255, 256, 65_535, 65_536] {
        table.same(&format!("text of {len}"), &"x".repeat(len));
        table.same(&format!("text of {len} multiplied"), &"\u{e4}".repeat(len));
    }
    for len in [255, 256, 65_535] {
        table.same(&format!("bytes of {len}"), &ByteBuf::from(vec![0xc1; len]));
    }
    let too_many = [
        Expected::Rejected("more than 65,536 values"),
        Expected::Same,
    ];
    table.expect(too_many, "many bytes", &ByteBuf::from(vec![0xc1; 65_536]));
    let all = &mut table;
    at_edges(all, SAME, "boxed str", &Box::<str>::from("text"));
    everywhere(all, SAME, "list of u8", &vec![0_u8, 127, 128, 255]);
    everywhere(
        all,
        SAME,
        "bytes",
        &ByteBuf::from(vec![0_u8, 127, 128, 255]),
    );
    everywhere(all, SAME, "no bytes", &ByteBuf::new());
    everywhere(
        all,
        SAME,
        "bytes that are text",
        &ByteBuf::from(b"text".to_vec()),
    );
    at_edges(
        all,
        SAME,
        "byte array",
        &ByteArray::new([0_u8, 127, 128, 255]),
    );
    at_edges(all, SAME, "array of u8", &[255_u8; 32]);
    at_edges(all, SAME, "CString", &CString::new("text").unwrap());
    at_edges(all, SAME, "PathBuf", &PathBuf::from("/var/lib/ä"));
    table.check();
}

#[test]
fn units_and_none_are_read_back() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Unit;
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Empty {}
    let mut table = Table::default();
    let all = &mut table;
    everywhere(all, SAME, "unit", &());
    everywhere(all, SAME, "unit struct", &Unit);
    at_edges(all, SAME, "empty struct", &Empty {});
    at_edges(all, SAME, "phantom", &std::marker::PhantomData::<u8>);
    everywhere(all, SAME, "none", &None::<u8>);
    everywhere(all, SAME, "some", &Some(7_u8));
    at_edges(all, SAME, "some text", &Some("text".to_owned()));
    bare(all, SAME, "some empty", &Some(Empty {}));
    at_edges(
        all,
        SAME,
        "some address",
        &Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    );
    at_edges(all, SAME, "some of some", &Some(Some(7_u8)));
    at_edges(all, SAME, "no list", &Vec::<u8>::new());
    at_edges(all, SAME, "no map", &BTreeMap::<String, u8>::new());
    table.expect([Expected::Differs; 2], "some of none", &Some(None::<u8>));
    table.expect([Expected::Differs; 2], "some of unit", &Some(()));
    table.expect([Expected::Differs; 2], "some of a unit struct", &Some(Unit));
    table.check();
}

#[test]
fn types_of_the_standard_library_are_read_back() {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let mut table = Table::default();
    let all = &mut table;
    at_edges(all, SAME, "Ipv4Addr", &Ipv4Addr::new(10, 0, 0, 7));
    at_edges(all, SAME, "Ipv6Addr", &v6);
    everywhere(all, SAME, "IpAddr v4", &IpAddr::V4(Ipv4Addr::LOCALHOST));
    everywhere(all, SAME, "IpAddr v6", &IpAddr::V6(v6));
    everywhere(
        all,
        SAME,
        "SocketAddr v4",
        &SocketAddr::from(([10, 0, 0, 7], 443)),
    );
    everywhere(all, SAME, "SocketAddr v6", &SocketAddr::from((v6, 443)));
    everywhere(all, SAME, "Duration", &Duration::new(u64::MAX, 999_999_999));
    at_edges(
        all,
        SAME,
        "SystemTime",
        &(SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 1)),
    );
    at_edges(
        all,
        SAME,
        "Range",
        &Range {
            start: 1_u8,
            end: 5,
        },
    );
    at_edges(all, SAME, "RangeInclusive", &RangeInclusive::new(1_i64, 5));
    at_edges(all, SAME, "Bound", &Bound::Excluded(7_u8));
    at_edges(all, SAME, "unbounded", &Bound::<u8>::Unbounded);
    at_edges(all, SAME, "Ok", &Ok::<u8, String>(7));
    at_edges(all, SAME, "Err", &Err::<u8, String>("no".into()));
    at_edges(all, SAME, "VecDeque", &VecDeque::from([1_u8, 2]));
    at_edges(all, SAME, "HashSet", &HashSet::from([7_u8]));
    at_edges(all, SAME, "BTreeSet", &BTreeSet::from(["a".to_owned()]));
    at_edges(
        all,
        SAME,
        "tuple of 4",
        &(1_u8, "a".to_owned(), 'b', 1.5_f64),
    );
    at_edges(all, SAME, "nested lists", &vec![vec![vec![1_u8]], vec![]]);
    let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    at_edges(
        &mut table,
        [Expected::Rejected("SystemTime"); 2],
        "before 1970",
        &early,
    );
    table.check();
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_utf8_is_rejected() {
    use std::os::unix::ffi::OsStringExt;
    let path = PathBuf::from(std::ffi::OsString::from_vec(vec![0xff]));
    let mut table = Table::default();
    at_edges(&mut table, [Expected::Rejected("UTF-8"); 2], "path", &path);
    table.check();
}

#[test]
fn types_of_well_known_crates_are_read_back() {
    let time: DateTime<Utc> = DateTime::from_timestamp(1_700_000_000, 123_456_789).unwrap();
    let mut table = Table::default();
    let all = &mut table;
    everywhere(all, SAME, "Uuid", &Uuid::from_u128(u128::MAX / 7));
    everywhere(all, SAME, "chrono date and time", &time);
    at_edges(all, SAME, "chrono naive", &time.naive_utc());
    at_edges(
        all,
        SAME,
        "chrono date",
        &NaiveDate::from_ymd_opt(2026, 2, 28).unwrap(),
    );
    at_edges(all, SAME, "chrono time", &NaiveDateTime::default().time());
    at_edges(
        all,
        SAME,
        "chrono duration",
        &TimeDelta::milliseconds(-1_500),
    );
    at_edges(
        all,
        SAME,
        "Url",
        &Url::parse("https://example.org/a?b=c#d").unwrap(),
    );
    everywhere(all, SAME, "json null", &Value::Null);
    everywhere(
        all,
        SAME,
        "json",
        &json!({"a": [1, -1, 1.5, null, true, "text", {"b": {}}]}),
    );
    at_edges(
        all,
        SAME,
        "map of json",
        &HashMap::from([("a".to_owned(), json!(u64::MAX))]),
    );
    table.check();
}

#[test]
fn fields_can_be_renamed_skipped_and_defaulted() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Options {
        #[serde(rename = "ID", alias = "identifier")]
        id: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left_away: Option<IpAddr>,
        #[serde(default = "seven")]
        has_default: u8,
        #[serde(skip)]
        skipped: u8,
        #[serde(with = "serde_bytes")]
        as_bytes: Vec<u8>,
        #[serde(with = "chrono::serde::ts_milliseconds")]
        as_number: DateTime<Utc>,
        r#type: Box<Option<Uuid>>,
    }
    fn seven() -> u8 {
        7
    }
    let mut table = Table::default();
    let mut options = Options {
        id: u64::MAX,
        left_away: None,
        has_default: 8,
        skipped: 0,
        as_bytes: vec![255, 0],
        as_number: DateTime::from_timestamp_millis(-1).unwrap(),
        r#type: Box::new(Some(Uuid::nil())),
    };
    everywhere(&mut table, SAME, "options", &options);
    options.left_away = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    *options.r#type = None;
    everywhere(&mut table, SAME, "options", &options);
    options.skipped = 1;
    table.expect([Expected::Differs; 2], "a skipped field", &options);
    table.check();
}

#[test]
fn an_exposed_secret_is_read_back() {
    #[derive(Debug, Clone, Serialize, Deserialize)]
    struct Secret(#[serde(serialize_with = "expose")] SecretString);
    fn expose<S: serde::Serializer>(secret: &SecretString, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose_secret())
    }
    impl PartialEq for Secret {
        fn eq(&self, other: &Self) -> bool {
            self.0.expose_secret() == other.0.expose_secret()
        }
    }
    let mut table = Table::default();
    let secret = Secret("hush-hush".into());
    bare(&mut table, SAME, "secret", &secret);
    buffered(&mut table, SAME, "secret", &secret);
    table.check();
}

#[test]
fn raw_json_is_rejected_in_message_pack() {
    /// Serializes as `serde_json::value::RawValue`, which is behind a feature.
    struct Raw;
    impl Serialize for Raw {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeStruct;
            let mut raw = serializer.serialize_struct("$serde_json::private::RawValue", 1)?;
            raw.serialize_field("$serde_json::private::RawValue", "7")?;
            raw.end()
        }
    }
    let mut bytes = Vec::new();
    let error = tidings_codec::Format::MessagePack
        .encode(&Raw, &mut bytes)
        .unwrap_err();
    let reason = std::error::Error::source(&error).unwrap().to_string();
    assert!(reason.contains("raw JSON"), "{reason}");
}
