//! The call sites of the whole API, as users type them, on a bus in memory.
#![allow(missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tidings::Names;
use tidings::codec::{DecodeError, EncodeError, Payload};
use tidings::prelude::*;

#[derive(Debug, Serialize, Deserialize)]
struct UserRenamed {
    id: u64,
    name: String,
}

impl Event for UserRenamed {
    fn declare(names: &mut Names) {
        names.add::<Self>("user.renamed");
    }
    fn name(&self) -> &str {
        "user.renamed"
    }
    fn encode(&self, format: Format, into: &mut Vec<u8>) -> Result<(), EncodeError> {
        format.encode(self, into)
    }
    fn decode(_: &str, payload: Payload<'_>) -> Result<Self, DecodeError> {
        payload.decode()
    }
}

#[derive(Debug)]
enum Account {
    Renamed(UserRenamed),
    Deleted { id: u64 },
    Other(Unknown),
}

#[derive(Serialize, Deserialize)]
struct Deleted<I> {
    id: I,
}

impl Event for Account {
    fn declare(names: &mut Names) {
        UserRenamed::declare(names);
        names.add::<Deleted<u64>>("user.deleted");
        names.other();
    }
    fn name(&self) -> &str {
        match self {
            Self::Renamed(event) => event.name(),
            Self::Deleted { .. } => "user.deleted",
            Self::Other(event) => event.name(),
        }
    }
    fn encode(&self, format: Format, into: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Renamed(event) => event.encode(format, into),
            Self::Deleted { id } => format.encode(&Deleted { id }, into),
            Self::Other(event) => event.encode(format, into),
        }
    }
    fn decode(name: &str, payload: Payload<'_>) -> Result<Self, DecodeError> {
        match name {
            "user.renamed" => UserRenamed::decode(name, payload).map(Self::Renamed),
            "user.deleted" => payload
                .decode::<Deleted<u64>>()
                .map(|Deleted { id }| Self::Deleted { id }),
            _ => Unknown::decode(name, payload).map(Self::Other),
        }
    }
}

#[derive(Clone)]
struct Mail;
struct Mailer;
impl Handler<UserRenamed> for Mailer {
    async fn handle(&self, _: UserRenamed, _: &Context) -> Result<(), HandlerError> {
        Ok(())
    }
}

async fn slow(_: u64) -> Result<(), std::io::Error> {
    Ok(())
}
async fn greet(_: UserRenamed, State(_mail): State<Mail>, _bus: Bus, _context: Context) {}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_site_works() -> Result<(), Box<dyn std::error::Error>> {
    let bus = Bus::builder("memory:api")
        .namespace("shop")
        .format(Format::MessagePack)
        .state(Mail)
        .on_failure(|failure: Failure| eprintln!("{failure}"))
        .on("cache.clear", |_: String| async {})
        .subscribe(greet)
        .start()
        .await?;
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel::<String>();
    let tell = {
        let tx = tx.clone();
        move |what: String| {
            tx.send(what).unwrap();
        }
    };
    let t = tell.clone();
    let clearing = bus.on("cache.clear", move |key: String| {
        let t = t.clone();
        async move { t(format!("clear {key}")) }
    })?;
    bus.on("cache.clear", async |_key: String| {})?;
    bus.send_to_all("cache.clear", "user:7").await?;
    bus.send_to_others("cache.clear", "user:8").await?;
    bus.send_to(bus.id(), "cache.clear", "user:9").await?;
    assert_eq!(rx.recv().await.unwrap(), "clear user:7");
    assert_eq!(rx.recv().await.unwrap(), "clear user:9");
    bus.on(
        UserRenamed::EVENT,
        |renamed: UserRenamed, context: Context| async move {
            let _ = (renamed, context.from());
        },
    )?;
    bus.on(UserRenamed::EVENT, |renamed: Arc<UserRenamed>| async move {
        let _ = renamed;
    })?;
    bus.subscribe(Mailer)?;
    let receipt = bus
        .send_to_all(
            UserRenamed::EVENT,
            &UserRenamed {
                id: 7,
                name: "Ada".into(),
            },
        )
        .await?;
    assert_eq!(receipt.number, 4);
    let t = tell.clone();
    bus.subscribe(move |event: Account| {
        let t = t.clone();
        async move {
            t(match event {
                Account::Renamed(user) => format!("renamed {}", user.name),
                Account::Deleted { id } => format!("deleted {id}"),
                Account::Other(other) => format!("other {}", other.name()),
            })
        }
    })?;
    bus.on(Account::EVENT, |_: Account| async move {})?;
    bus.publish(&Account::Deleted { id: 7 }).await?;
    bus.send_to_all("some.thing", &5).await?;
    assert_eq!(rx.recv().await.unwrap(), "deleted 7");
    assert_eq!(rx.recv().await.unwrap(), "other some.thing");
    bus.once("ready", |_: ()| async {})?;
    let mut renames = bus.stream(UserRenamed::EVENT)?;
    let mut keys = bus.stream::<_, String>("cache.clear")?;
    bus.on_with(
        "slow",
        Handling::new()
            .concurrency(8)
            .queue(10_000)
            .timeout(Duration::from_secs(5)),
        slow,
    )?;
    bus.on_gap(|_gap: Gap| async move {})?;
    bus.off(clearing).await;
    for order in 0..1000 {
        bus.feed("order.placed", &order).await?;
    }
    bus.flush().await?;
    bus.publish(&UserRenamed {
        id: 8,
        name: "Bob".into(),
    })
    .await?;
    assert_eq!(renames.next().await.unwrap().id, 8);
    bus.send_to_all("cache.clear", "x").await?;
    assert_eq!(keys.next().await.unwrap(), "x");
    let health = bus.health();
    assert!(health.is_up());
    bus.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
