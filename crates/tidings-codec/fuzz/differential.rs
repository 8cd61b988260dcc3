//! Decodes payloads with and without the fast path. Both must read the same, or both must reject.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use serde::de::{DeserializeOwned, IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use tidings_codec::{Format, Limits, Payload};

use crate::probe::{self, By, Probe};

/// The outcome of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The fast path decoded it.
    Fast,
    /// `serde_json` or rmp-serde decoded it.
    Other,
    Rejected,
}

/// A type of payloads, with some payloads of this type.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) check: fn(Format, &[u8]) -> Outcome,
    json: Vec<Vec<u8>>,
    msgpack: Vec<Vec<u8>>,
}

impl Shape {
    pub(crate) fn payloads(&self, format: Format) -> &Vec<Vec<u8>> {
        match format {
            Format::Json => &self.json,
            Format::MessagePack => &self.msgpack,
        }
    }
}

/// Checks any bytes: the first tells the shape, the second the calls of [`Probe`].
#[allow(dead_code)]
pub(crate) fn check(bytes: &[u8]) {
    static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(shapes);
    let [shape, calls, payload @ ..] = bytes else {
        return;
    };
    let shape = &SHAPES[usize::from(*shape) % SHAPES.len()];
    probe::seed((*calls).into());
    for format in [Format::Json, Format::MessagePack] {
        (shape.check)(format, payload);
    }
}

fn compare<T: DeserializeOwned + PartialEq + Debug>(format: Format, bytes: &[u8]) -> Outcome {
    let payload = Payload::new(format, bytes);
    CALLS.set(0);
    let fast = payload.decode::<Counted<T>>();
    let calls = CALLS.get();
    let exact = payload.decode::<Exact<T>>();
    match (fast, exact) {
        (Ok(Counted(fast)), Ok(Exact(exact))) => {
            // NaN does not equal itself.
            let is_same = fast == exact || format!("{fast:?}") == format!("{exact:?}");
            assert!(
                is_same,
                "{payload:?} is {exact:?}, but was read as {fast:?}: {bytes:02x?}"
            );
            if calls == 1 {
                Outcome::Fast
            } else {
                Outcome::Other
            }
        }
        (Err(_), Err(_)) => Outcome::Rejected,
        (Ok(Counted(fast)), Err(error)) => {
            panic!("{payload:?} was read as {fast:?}, not rejected: {error:?}: {bytes:02x?}")
        }
        (Err(error), Ok(Exact(exact))) => {
            panic!("{payload:?} is {exact:?}, but was rejected: {error:?}: {bytes:02x?}")
        }
    }
}

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// Counts the calls: the fast path makes the first, `serde_json` or rmp-serde the second.
struct Counted<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Counted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        CALLS.set(CALLS.get() + 1);
        T::deserialize(deserializer).map(Self)
    }
}

/// Is never decoded by the fast path, which leaves newtypes of such a name to the others.
struct Exact<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Exact<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Newtype<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Newtype<T> {
            type Value = Exact<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a newtype")
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                inner: D,
            ) -> Result<Exact<T>, D::Error> {
                T::deserialize(inner).map(Exact)
            }
        }
        deserializer.deserialize_newtype_struct("$exact", Newtype(std::marker::PhantomData))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: String,
    cents: i64,
    count: u8,
    price: f64,
    weight: f32,
    is_paid: bool,
    grade: char,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Options {
    #[serde(alias = "identifier")]
    id: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_out: Option<String>,
    #[serde(default)]
    has_default: u8,
    #[serde(skip)]
    skipped: u8,
    #[serde(with = "bytes")]
    bytes: Vec<u8>,
    inner: Option<Box<Options>>,
}

/// Bytes as bytes, and from bytes, strings and arrays.
mod bytes {
    use super::*;

    pub(super) fn serialize<S: serde::Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_str<E>(self, text: &str) -> Result<Vec<u8>, E> {
                Ok(text.as_bytes().to_vec())
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut from: A,
            ) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = from.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }
        from.deserialize_byte_buf(Bytes)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum External {
    Unit,
    Newtype(u8),
    Tuple(u8, String),
    Struct {
        id: u64,
        inner: Option<Box<External>>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Internal {
    Unit,
    Newtype(BTreeMap<u32, f64>),
    Struct {
        id: u64,
        price: f64,
        inner: Vec<External>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value")]
enum Adjacent {
    Unit,
    Newtype(Option<u8>),
    Tuple(u8, String),
    Struct {
        id: u64,
        #[serde(default)]
        price: f32,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Float(f64),
    Text(String),
    Struct { id: u64 },
    List(Vec<Untagged>),
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flat {
    id: u64,
    #[serde(flatten)]
    external: Named,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Named {
    count: u8,
    #[serde(default)]
    unknown: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Newtype(String);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Bytes(#[serde(with = "bytes")] Vec<u8>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Unit;

/// Reads nothing.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Nothing;

impl<'de> Deserialize<'de> for Nothing {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

/// Takes an error for a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Lenient<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(T::deserialize(deserializer).ok()))
    }
}

/// Skips any value.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

fn shape<T>(name: &'static str, values: &[T]) -> Shape
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let encode = |format: Format| {
        let encoded = values.iter().filter_map(|value| {
            let mut bytes = Vec::new();
            format.encode(value, &mut bytes).ok()?;
            Some(bytes)
        });
        encoded.collect()
    };
    Shape {
        name,
        check: compare::<T>,
        json: encode(Format::Json),
        msgpack: encode(Format::MessagePack),
    }
}

/// The number of shapes at the start of the table that read any payload, in many ways.
pub(crate) const PROBES: usize = 3;

/// The table of shapes.
pub(crate) fn shapes() -> Vec<Shape> {
    let values = [
        json!({"id": 7, "customer": "ä\n", "list": [1, -1, 1.5, null, true, [], {}]}),
        json!([[[]], "text", {"Struct": {"id": 1, "inner": "Unit"}}, {"type": "Unit"}]),
    ];
    let mut shapes = vec![Shape {
        check: compare::<Probe>,
        ..shape("probe", &values)
    }];
    // By `deserialize_ignored_any`, and bytes by `deserialize_seq`.
    shapes.push(Shape {
        check: compare::<BTreeMap<By<26>, By<26>>>,
        ..shape("ignored", &values[..1])
    });
    shapes.push(Shape {
        check: compare::<Vec<By<19>>>,
        ..shape("bytes", &[vec![Bytes(vec![1, 2]), Bytes(vec![])]])
    });
    shapes.extend(structs());
    shapes.extend(enums());
    shapes.extend(collections());
    shapes.extend(scalars());
    shapes
}

fn order() -> Order {
    Order {
        id: u64::MAX,
        customer: "cust-0001234".to_owned(),
        cents: -12_999,
        count: 3,
        price: 12.75,
        weight: 0.1,
        is_paid: true,
        grade: 'ä',
    }
}

fn structs() -> Vec<Shape> {
    let inner = Options {
        id: 1,
        left_out: Some("a \"quoted\" text".to_owned()),
        has_default: 7,
        skipped: 0,
        bytes: vec![0, 127, 255],
        inner: None,
    };
    let outer = Options {
        left_out: None,
        inner: Some(Box::new(inner.clone())),
        ..inner.clone()
    };
    let flat = Flat {
        id: 7,
        external: Named {
            count: 1,
            unknown: None,
        },
        rest: BTreeMap::from([("a".to_owned(), json!([1.5, {"b": null}]))]),
    };
    let short = Order {
        id: 0,
        cents: 0,
        price: -0.0,
        weight: f32::MAX,
        ..order()
    };
    vec![
        shape("order", &[order(), short]),
        shape("options", &[inner, outer]),
        shape(
            "named",
            &[Named {
                count: 255,
                unknown: Some(1),
            }],
        ),
        shape("list of orders", &[vec![order(), order()], vec![]]),
        shape("option of an order", &[Some(order()), None]),
        shape(
            "lenient orders",
            &[vec![Lenient(Some(order())), Lenient(None)]],
        ),
        shape("flattened", &[flat]),
        shape("newtype", &[Newtype("text".to_owned())]),
        shape("unit struct", &[Unit]),
    ]
}

fn enums() -> Vec<Shape> {
    let inner = Some(Box::new(External::Newtype(7)));
    let external = [
        External::Unit,
        External::Newtype(255),
        External::Tuple(1, "a".to_owned()),
        External::Struct { id: 1, inner },
    ];
    let internal = [
        Internal::Unit,
        Internal::Newtype(BTreeMap::from([(7, 0.5)])),
        Internal::Struct {
            id: 1,
            price: 1.5,
            inner: external.to_vec(),
        },
    ];
    let adjacent = [
        Adjacent::Unit,
        Adjacent::Newtype(None),
        Adjacent::Tuple(1, "a".to_owned()),
        Adjacent::Struct { id: 1, price: 0.1 },
    ];
    let untagged = [
        Untagged::Number(-1),
        Untagged::Float(1.0),
        Untagged::Struct { id: 1 },
        Untagged::List(vec![Untagged::Text("a".to_owned()), Untagged::Nothing]),
    ];
    vec![
        shape("external", &external),
        shape("list of external", &[external.to_vec()]),
        shape(
            "lenient external",
            &[external.map(|value| Lenient(Some(value))).to_vec()],
        ),
        shape("internal", &internal),
        shape("adjacent", &adjacent),
        shape("untagged", &untagged),
        shape("result", &[Ok::<u8, String>(7), Err("no".to_owned())]),
    ]
}

fn collections() -> Vec<Shape> {
    let text = || "text".to_owned();
    let nested = |levels| (0..levels).fold(json!({}), |inner, _| json!([inner]));
    vec![
        shape(
            "values",
            &[
                json!({"id": [1, 1.5, "ä", null], "b": {"c": [true]}}),
                json!(-1),
            ],
        ),
        shape(
            "deep values",
            &[nested(Limits::DEPTH - 1), nested(Limits::DEPTH)],
        ),
        shape(
            "map of texts",
            &[BTreeMap::from([(text(), text()), ("b".to_owned(), text())])],
        ),
        shape(
            "map of numbers",
            &[BTreeMap::from([(u64::MAX, -1_i8), (0, 1)])],
        ),
        shape(
            "map of signed numbers",
            &[BTreeMap::from([(i64::MIN, Some(1.5_f32)), (0, None)])],
        ),
        shape(
            "map of flags",
            &[BTreeMap::from([(true, 1_u8), (false, 0)])],
        ),
        shape("map of chars", &[BTreeMap::from([('a', 1_u16), ('ä', 2)])]),
        shape("map of enums", &[BTreeMap::from([(External::Unit, 1_u32)])]),
        shape(
            "map of newtypes",
            &[BTreeMap::from([(Newtype(text()), 1_u32)])],
        ),
        shape("map of options", &[BTreeMap::from([(Some(text()), 1_u32)])]),
        shape("list of nothing", &[vec![Nothing]]),
        shape("lists", &[vec![vec![1_u8, 2], vec![]], vec![]]),
        shape(
            "lenient lists",
            &[vec![Lenient(Some(vec![1_u8])), Lenient(None)]],
        ),
        shape("lenient pairs", &[(Lenient(Some((1_u8, 2_u8))), 3_u8)]),
        shape("set", &[HashSet::from([text()])]),
        shape("tuple", &[(1_u8, text(), 'b', 1.5_f64, [1_i16, -1])]),
        shape("nothing and a number", &[(Nothing, 7_u8)]),
        shape("skipped and a number", &[(Skipped, 7_u8)]),
        shape("options", &[vec![Some(Some(1_u8)), None]]),
    ]
}

fn scalars() -> Vec<Shape> {
    vec![
        shape("bool", &[true, false]),
        shape("i8", &[i8::MIN, 0, i8::MAX]),
        shape("i32", &[i32::MIN, -1, i32::MAX]),
        shape("i64", &[i64::MIN, -1, 0, i64::MAX]),
        shape("u16", &[u16::MAX, 0]),
        shape("u64", &[u64::MAX, 0, 1 << 53]),
        shape("i128", &[7_i128]),
        shape("f32", &[0.1_f32, 1.0, -0.0, f32::MAX, f32::MIN_POSITIVE]),
        shape(
            "f64",
            &[
                0.1_f64,
                1.0,
                -0.0,
                f64::MAX,
                5e-324,
                0.1 + 0.2,
                1e22,
                123_456.789,
            ],
        ),
        shape("char", &['a', 'ä', '\n']),
        shape(
            "text",
            &[
                "ä\u{1f600}".to_owned(),
                "\"\\\n\u{1}".to_owned(),
                "x".repeat(300),
            ],
        ),
        shape("unit", &[()]),
        shape("option of a unit", &[Some(()), None]),
        shape(
            "lenient number",
            &[vec![Lenient(Some(1_u8)), Lenient(None)]],
        ),
        shape(
            "address",
            &[IpAddr::from([10, 0, 0, 7]), IpAddr::from([0_u16; 8])],
        ),
        shape("duration", &[Duration::new(u64::MAX, 7)]),
        shape("skipped", &[Skipped]),
    ]
}
