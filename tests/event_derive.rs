//! `#[derive(Event)]`: names, payloads and their round trip through a bus, in both formats.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidings::codec::{DecodeError, EncodeError, Encoder, Payload};
use tidings::prelude::*;
use tidings::{Names, SubscribeError};
use tokio::time::timeout;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
struct UserRenamed {
    id: u64,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
struct HTTPServer2(u16, String);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
#[event("tick:now")]
struct Tick;

/// An event without the derive, to be nested like a derived one.
#[derive(Clone, Debug, PartialEq)]
struct ByHand(u32);

impl Event for ByHand {
    fn declare(names: &mut Names) {
        names.add::<Self>("by-hand");
    }
    fn name(&self) -> &'static str {
        "by-hand"
    }
    fn encode(&self, into: Encoder<'_>) -> Result<(), EncodeError> {
        into.encode(&self.0)
    }
    fn decode(_: &str, payload: Payload<'_>) -> Result<Self, DecodeError> {
        payload.decode().map(ByHand)
    }
}

#[derive(Debug, PartialEq, Event)]
enum Account {
    Renamed(UserRenamed),
    Deleted {
        id: u64,
        account_note: Option<String>,
        account_tags: Vec<String>,
    },
    #[event("account.moved")]
    MovedTo(u64, Box<str>),
    #[event("cache.clear")]
    Cleared(String),
    #[event("sessions")]
    Sessions(BTreeMap<String, u32>),
    Reloaded,
    #[event("account.bare")]
    Bare {},
    Parent {
        // The fields are in a type of their own, where `Self` still means the enum.
        depth: Option<Box<<Self as Depth>::Number>>,
    },
}

trait Depth {
    type Number;
}

impl Depth for Account {
    type Number = u8;
}

#[derive(Debug, PartialEq, Event)]
#[event("shop")]
enum Everything {
    Account(Account),
    Tick(Tick),
    ByHand(ByHand),
    OrderPlaced {
        number: u32,
    },
    #[event(other)]
    Other(Unknown),
}

#[derive(Debug, PartialEq, Event)]
enum Outer {
    Everything(Everything),
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_not(flag: &bool) -> bool {
    !flag
}

mod seconds {
    use super::{Deserialize, Duration};
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.as_secs())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_secs)
    }
}

#[derive(Debug, PartialEq, Event)]
enum Attributed {
    #[serde(rename_all = "camelCase")]
    Renamed {
        first_field: u8,
        #[serde(rename = "another")]
        second_field: u8,
    },
    Optional {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        #[serde(default, skip_serializing_if = "is_not")]
        is_loud: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_late: bool,
        #[serde(skip)]
        local: u8,
    },
    Timed {
        #[serde(with = "seconds")]
        after: Duration,
    },
    #[event("attributed.wait")]
    Wait(#[serde(with = "seconds")] Duration),
    #[serde(deny_unknown_fields)]
    Strict {
        format: u8,
        name: u8,
        payload: u8,
        into: u8,
    },
    Flat {
        id: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    },
}

const BOUNDED: usize = 2;

/// Its types have the names that a derive could give to its own.
#[derive(Debug, PartialEq, Event)]
enum Order {
    Placed {
        payload: OrderPlacedPayload,
        schema: OrderPlacedPayloadSchema,
        bounded: [u8; BOUNDED],
    },
    Both(OrderRemote, OrderBorrowed),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
struct OrderPlacedPayload(u8);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
struct OrderPlacedPayloadSchema(u8);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
struct OrderRemote(u8);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
struct OrderBorrowed(u8);

async fn bus(format: Format) -> Bus {
    static BUSES: AtomicU32 = AtomicU32::new(0);
    let name = BUSES.fetch_add(1, Ordering::Relaxed);
    Bus::builder(&format!("memory:macros-{name}"))
        .format(format)
        .start()
        .await
        .unwrap()
}

/// Sends each event on a bus in each format, and receives it unchanged.
async fn assert_round_trips<E: Event + PartialEq + Debug + Sync>(
    events: impl IntoIterator<Item = E>,
) {
    let events: Vec<E> = events.into_iter().collect();
    for format in [Format::Json, Format::MessagePack] {
        let bus = bus(format).await;
        let mut stream = bus.stream(E::EVENT).unwrap();
        for event in &events {
            bus.publish(event).await.unwrap();
            let received = timeout(Duration::from_secs(10), stream.next()).await;
            assert_eq!(received.unwrap().as_ref(), Some(event), "{format:?}");
        }
    }
}

fn renamed() -> UserRenamed {
    UserRenamed {
        id: 7,
        name: "Ada".into(),
    }
}

fn json<E: Event>(event: &E) -> String {
    let mut json = Vec::new();
    event.encode(Encoder::new(Format::Json, &mut json)).unwrap();
    String::from_utf8(json).unwrap()
}

#[test]
fn the_name_of_a_struct_is_its_attribute_or_its_snake_case() {
    assert_eq!(renamed().name(), "user_renamed");
    assert_eq!(HTTPServer2(80, String::new()).name(), "http_server2");
    assert_eq!(Tick.name(), "tick:now");
}

#[test]
fn the_name_of_a_variant_is_its_enum_and_itself() {
    let deleted = Account::Deleted {
        id: 7,
        account_note: None,
        account_tags: Vec::new(),
    };

    assert_eq!(deleted.name(), "account.deleted");
    assert_eq!(Account::Reloaded.name(), "account.reloaded");
    assert_eq!(
        Everything::OrderPlaced { number: 1 }.name(),
        "shop.order_placed"
    );
}

#[test]
fn a_newtype_variant_is_sent_under_the_name_of_its_content() {
    assert_eq!(Account::Renamed(renamed()).name(), "user_renamed");
    assert_eq!(
        Everything::Account(Account::Reloaded).name(),
        "account.reloaded"
    );
    assert_eq!(json(&Account::Renamed(renamed())), json(&renamed()));
}

#[test]
fn the_payload_is_the_content_of_the_variant() {
    let deleted = Account::Deleted {
        id: 7,
        account_note: None,
        account_tags: vec!["a".into()],
    };

    assert_eq!(
        json(&deleted),
        r#"{"id":7,"account_note":null,"account_tags":["a"]}"#
    );
    assert_eq!(json(&Account::MovedTo(7, "x".into())), r#"[7,"x"]"#);
    assert_eq!(json(&Account::Cleared("k".into())), r#""k""#);
    assert_eq!(json(&Account::Reloaded), "null");
    assert_eq!(json(&Account::Bare {}), "null");
    assert_eq!(json(&Tick), "null");
}

#[tokio::test]
async fn structs_round_trip() {
    assert_round_trips([renamed()]).await;
    assert_round_trips([HTTPServer2(80, "a".into())]).await;
    assert_round_trips([Tick]).await;
}

#[tokio::test]
async fn every_kind_of_variant_round_trips() {
    assert_round_trips([
        Account::Renamed(renamed()),
        Account::Deleted {
            id: 1,
            account_note: Some("x".into()),
            account_tags: vec!["y".into()],
        },
        Account::MovedTo(7, "there".into()),
        Account::Cleared("user:7".into()),
        Account::Sessions(BTreeMap::from([("a".into(), 1)])),
        Account::Reloaded,
        Account::Bare {},
        Account::Parent {
            depth: Some(Box::new(3)),
        },
    ])
    .await;
}

#[tokio::test]
async fn no_name_of_a_field_type_collides_with_a_generated_one() {
    assert_round_trips([
        Order::Placed {
            payload: OrderPlacedPayload(1),
            schema: OrderPlacedPayloadSchema(2),
            bounded: [3; BOUNDED],
        },
        Order::Both(OrderRemote(4), OrderBorrowed(5)),
    ])
    .await;
}

#[tokio::test]
async fn enums_within_enums_round_trip() {
    assert_round_trips([
        Everything::Account(Account::Renamed(renamed())),
        Everything::Account(Account::Reloaded),
        Everything::Tick(Tick),
        Everything::ByHand(ByHand(4)),
        Everything::OrderPlaced { number: 5 },
    ])
    .await;
}

#[tokio::test]
async fn serde_attributes_keep_their_meaning() {
    let optional = |note: Option<&str>, is_loud, is_late| Attributed::Optional {
        note: note.map(Into::into),
        is_loud,
        is_late,
        local: 0,
    };
    assert_round_trips([
        Attributed::Renamed {
            first_field: 1,
            second_field: 2,
        },
        optional(None, false, false),
        optional(Some("x"), true, true),
        Attributed::Timed {
            after: Duration::from_secs(3),
        },
        Attributed::Wait(Duration::from_secs(4)),
        Attributed::Strict {
            format: 1,
            name: 2,
            payload: 3,
            into: 4,
        },
        Attributed::Flat {
            id: 1,
            rest: BTreeMap::from([("x".into(), 2)]),
        },
    ])
    .await;

    let renamed = Attributed::Renamed {
        first_field: 1,
        second_field: 2,
    };
    assert_eq!(json(&renamed), r#"{"firstField":1,"another":2}"#);
    assert_eq!(json(&optional(None, false, false)), "{}");
    assert_eq!(
        json(&Attributed::Timed {
            after: Duration::from_secs(3)
        }),
        r#"{"after":3}"#
    );
    assert_eq!(json(&Attributed::Wait(Duration::from_secs(4))), "4");
    assert_eq!(
        json(&Attributed::Flat {
            id: 1,
            rest: BTreeMap::from([("x".into(), 2)])
        }),
        r#"{"id":1,"x":2}"#
    );
    let strict = br#"{"format":1,"name":2,"payload":3,"into":4,"more":5}"#;
    let payload = Payload::new(Format::Json, strict);
    assert!(Attributed::decode("attributed.strict", payload).is_err());
}

#[tokio::test]
async fn a_name_that_no_variant_has_goes_to_other() {
    let bus = bus(Format::Json).await;
    let mut events = bus.stream(Everything::EVENT).unwrap();

    bus.send_to_all("nobody.knows", &[1, 2]).await.unwrap();

    let Some(Everything::Other(unknown)) = events.next().await else {
        panic!("it goes to the variant marked `other`");
    };
    assert_eq!(unknown.name(), "nobody.knows");
    assert_eq!(unknown.payload().decode::<[u8; 2]>().unwrap(), [1, 2]);
}

#[tokio::test]
async fn an_unknown_event_is_forwarded_in_the_format_of_the_bus() {
    let payload = Payload::new(Format::Json, b"[1,2]");
    let unknown = Everything::decode("nobody.knows", payload).unwrap();
    let bus = bus(Format::MessagePack).await;
    let mut numbers = bus.stream::<_, [u8; 2]>("nobody.knows").unwrap();

    bus.publish(&unknown).await.unwrap();

    assert_eq!(numbers.next().await, Some([1, 2]));
}

#[test]
fn an_unknown_event_is_written_in_json_as_its_payload_would_be() {
    fn assert_same(payload: &(impl Serialize + ?Sized)) {
        let mut encoded = Vec::new();
        Format::MessagePack.encode(payload, &mut encoded).unwrap();
        let encoded = Payload::new(Format::MessagePack, &encoded);
        let unknown = Unknown::decode("nobody.knows", encoded).unwrap();
        let (mut direct, mut forwarded) = (Vec::new(), Vec::new());
        let direct_result = Encoder::new(Format::Json, &mut direct).encode(payload);
        let result = unknown.encode(Encoder::new(Format::Json, &mut forwarded));
        assert_eq!(format!("{result:?}"), format!("{direct_result:?}"));
        assert_eq!(forwarded, direct);
    }
    assert_same(&serde_json::json!({"list": [null, true, -7, u64::MAX, 1.5, "text"], "map": {}}));
    assert_same(&1.1_f32);
    for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_same(&[float]);
    }
    assert_same(&BTreeMap::from([(7, "a"), (-7, "b")]));
    assert_same(&BTreeMap::from([(true, 1)]));
    assert_same(&BTreeMap::from([([1, 2], 1)]));
    assert_same(&serde_json::Value::Null);
    assert_same(&Bytes);
}

/// Bytes that are the text `abc`.
struct Bytes;

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(b"abc")
    }
}

#[tokio::test]
async fn an_enum_accepts_the_unknown_events_of_a_nested_enum() {
    let bus = bus(Format::MessagePack).await;
    let mut events = bus.stream(Outer::EVENT).unwrap();

    bus.send_to_all("nobody.knows", &1).await.unwrap();
    bus.publish(&Tick).await.unwrap();

    let first = events.next().await;
    assert!(
        matches!(first, Some(Outer::Everything(Everything::Other(_)))),
        "{first:?}"
    );
    assert_eq!(
        events.next().await,
        Some(Outer::Everything(Everything::Tick(Tick)))
    );
}

#[test]
fn an_event_without_handlers_is_not_decoded() {
    for (format, null) in [(Format::Json, &b"null"[..]), (Format::MessagePack, &[0xc0])] {
        let error = Account::decode("nobody.knows", Payload::new(format, null)).unwrap_err();

        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            source.contains("no variant has the event name `nobody.knows`"),
            "{source}"
        );
    }
}

#[test]
fn a_payload_that_does_not_fit_is_rejected_with_the_name_of_its_variant() {
    let text = |format: Format| {
        let mut bytes = Vec::new();
        format.encode("text", &mut bytes).unwrap();
        bytes
    };
    let short = |format: Format| {
        let mut bytes = Vec::new();
        format.encode(&[7], &mut bytes).unwrap();
        bytes
    };
    for format in [Format::Json, Format::MessagePack] {
        for (name, bytes, variant) in [
            ("account.deleted", text(format), "Account::Deleted"),
            ("account.deleted", short(format), "Account::Deleted"),
            ("account.moved", text(format), "Account::MovedTo"),
            ("account.moved", short(format), "Account::MovedTo"),
        ] {
            let error = Account::decode(name, Payload::new(format, &bytes)).unwrap_err();
            let reason = tidings::report(&error).to_string();
            assert!(
                reason.contains(&format!("expected variant {variant}")),
                "{reason}"
            );
            assert!(!reason.contains("Payload"), "{reason}");
        }
    }
}

mod elsewhere {
    use tidings::prelude::*;

    #[derive(Debug, Serialize, Deserialize, Event)]
    #[event("user_renamed")]
    pub(crate) struct AlsoRenamed {
        pub(crate) id: u64,
    }

    #[derive(Debug, Event)]
    pub(crate) enum AlsoAccount {
        #[event("account.deleted")]
        Deleted { id: u64 },
        #[event("account.reloaded")]
        Reloaded,
    }
}

#[tokio::test]
async fn two_event_types_with_one_name_are_rejected() {
    let bus = bus(Format::Json).await;
    bus.subscribe(|_: Account| async {}).unwrap();

    let renamed =
        bus.subscribe(|renamed: elsewhere::AlsoRenamed| async move { assert!(renamed.id > 0) });
    let account = bus.subscribe(|account: elsewhere::AlsoAccount| async move {
        match account {
            elsewhere::AlsoAccount::Deleted { id } => assert!(id > 0),
            elsewhere::AlsoAccount::Reloaded => {}
        }
    });

    let Err(SubscribeError::Conflict {
        event,
        first,
        second,
    }) = renamed
    else {
        panic!("`user_renamed` is claimed twice: {renamed:?}");
    };
    assert_eq!(event, "user_renamed");
    assert!(first.ends_with("::UserRenamed"), "{first}");
    assert!(second.ends_with("::AlsoRenamed"), "{second}");
    let Err(SubscribeError::Conflict {
        event,
        first,
        second,
    }) = account
    else {
        panic!("`account.deleted` is claimed twice: {account:?}");
    };
    assert_eq!(event, "account.deleted");
    assert!(first.ends_with("::Account::Deleted"), "{first}");
    assert!(second.ends_with("::AlsoAccount::Deleted"), "{second}");
}

#[tokio::test]
async fn one_type_may_be_nested_in_several_places() {
    let bus = bus(Format::Json).await;

    bus.subscribe(|_: UserRenamed| async {}).unwrap();
    bus.subscribe(|_: Account| async {}).unwrap();
    bus.subscribe(|_: Everything| async {}).unwrap();
}

/// Each kind of payload, and each return type of a handler.
mod debugged {
    use std::sync::Arc;

    use super::{Account, Tick};
    use tidings::prelude::*;

    #[tidings::debug_handler]
    pub(crate) async fn event(_: Tick) {}

    #[tidings::debug_handler]
    pub(crate) async fn events(account: Account) -> Result<(), HandlerError> {
        match account {
            Account::Reloaded => Ok(()),
            _ => Err("not reloaded".into()),
        }
    }

    #[tidings::debug_handler]
    pub(crate) async fn shared_event(_: Arc<Tick>, _: Context) -> Result<u64, std::fmt::Error> {
        Ok(7)
    }

    #[tidings::debug_handler]
    pub(crate) async fn named(_: (u64, String), State(_limit): State<u32>, _: Bus) {}
}

#[tokio::test]
async fn debug_handler_does_not_change_a_handler() {
    let builder = Bus::builder("memory:debugged").auto_register(false);
    let bus = builder.state(7_u32).start().await.unwrap();

    bus.subscribe(debugged::event).unwrap();
    bus.subscribe(debugged::events).unwrap();
    bus.subscribe(debugged::shared_event).unwrap();
    bus.on("named", debugged::named).unwrap();

    debugged::event(Tick).await;
    assert!(debugged::events(Account::Reloaded).await.is_ok());
}
