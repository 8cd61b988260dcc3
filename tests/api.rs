//! The call sites of the whole API, as users type them.

use std::error::Error;
use std::io;
use std::time::Duration;

use tidings::prelude::*;

#[derive(Debug, Serialize, Deserialize, Event)]
#[event("user.renamed")]
struct UserRenamed {
    id: u64,
    name: String,
}

#[derive(Debug, Event)]
enum Account {
    Renamed(UserRenamed),
    #[event("user.deleted")]
    Deleted {
        id: u64,
    },
    #[event("users.reloaded")]
    Reloaded,
    #[event(other)]
    Other(Unknown),
}

#[derive(Clone)]
struct Mail;

async fn greet(renamed: UserRenamed, State(_mail): State<Mail>) -> Result<(), io::Error> {
    assert!(!renamed.name.is_empty());
    Ok(())
}

async fn clear(_key: String, State(_mail): State<Mail>, context: Context, bus: Bus) {
    assert_eq!(context.bus().id(), bus.id());
}

async fn slow(_: u64) {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_of_the_api_works() -> Result<(), Box<dyn Error>> {
    let bus = Bus::builder("memory:api")
        .namespace("shop-staging")
        .format(Format::MessagePack)
        .state(Mail)
        .on_failure(|failure: Failure| panic!("{failure}"))
        .subscribe(greet)
        .on("cache.clear", clear)
        .start()
        .await?;
    let node = bus.id();
    let mut cleared = bus.stream::<_, String>("cache.clear")?;

    // Untyped: any name, any serde type.
    let clearing = bus.on("cache.clear", |key: String| async move { drop(key) })?;
    bus.send_to_all("cache.clear", "user:7").await?;
    bus.send_to_others("cache.clear", "user:8").await?;
    bus.send_to(node, "cache.clear", "user:9").await?;
    assert_eq!(cleared.next().await.as_deref(), Some("user:7"));
    assert_eq!(cleared.next().await.as_deref(), Some("user:9"));

    // Typed: name and payload belong together, and the compiler checks it.
    let (received, mut renamed_users) = tokio::sync::mpsc::unbounded_channel();
    bus.on(
        UserRenamed::EVENT,
        move |renamed: UserRenamed, context: Context| {
            let user = (renamed.id, context.event_name().to_owned());
            received.send(user).expect("the test waits for it");
            async {}
        },
    )?;
    let renamed = UserRenamed {
        id: 7,
        name: "Ada".into(),
    };
    let receipt = bus.send_to_all(UserRenamed::EVENT, &renamed).await?;
    assert_eq!((receipt.sequence, receipt.receivers), (4, Some(1)));
    // A sent event is not yet received: a handler that is added now could still receive it.
    let user = renamed_users.recv().await.expect("the handler has it");
    assert_eq!((user.0, &*user.1), (7, "user.renamed"));

    let (received, mut accounts) = tokio::sync::mpsc::unbounded_channel();
    bus.on(Account::EVENT, move |event: Account| {
        let text = match event {
            Account::Renamed(user) => format!("{} is {}", user.id, user.name),
            Account::Deleted { id } => format!("{id} is gone"),
            Account::Reloaded => "all new".to_owned(),
            Account::Other(other) => other.name().to_owned(),
        };
        received.send(text).expect("the test waits for it");
        async {}
    })?;
    bus.subscribe(|event: Account| async move { drop(event) })?;
    bus.publish(&Account::Renamed(UserRenamed {
        id: 7,
        name: "Ada".into(),
    }))
    .await?;
    bus.publish(&Account::Deleted { id: 7 }).await?;
    bus.publish(&Account::Reloaded).await?;
    bus.send_to_all("unknown.event", &[1, 2, 3]).await?;
    for text in ["7 is Ada", "7 is gone", "all new", "unknown.event"] {
        assert_eq!(accounts.recv().await.as_deref(), Some(text));
    }

    bus.once("ready", |(): ()| async {})?;
    bus.send_to_all("ready", &()).await?;
    let mut renames = bus.stream(UserRenamed::EVENT)?;
    let handling = HandlerOptions::new()
        .concurrency(8)
        .queue(10_000)
        .timeout(Duration::from_secs(5));
    bus.on_with("slow", handling, slow)?;
    bus.on("async.closure", async |_: String| {})?;
    bus.on_gap(|gap: Gap| async move { assert!(gap.missed == Some(0), "{gap}") })?;
    bus.off(clearing).await;

    // Many events, without waiting for each.
    for order in 0..1_000_u64 {
        bus.feed("order.placed", &order).await?;
    }
    bus.flush().await?;
    bus.publish(&UserRenamed {
        id: 7,
        name: "Ada".into(),
    })
    .await?;
    assert_eq!(renames.next().await.map(|renamed| renamed.id), Some(7));

    assert!(bus.health().is_ready());
    bus.shutdown(Duration::from_secs(5)).await?;
    assert!(renames.next().await.is_none());
    Ok(())
}

#[tokio::test]
async fn an_event_name_may_be_built_at_run_time() -> Result<(), Box<dyn Error>> {
    let name = |room: u32| format!("room.{room}");
    let (reported, mut received) = tokio::sync::mpsc::unbounded_channel();
    let tell = |handler: &'static str| {
        let reported = reported.clone();
        move |_: u64| {
            reported.send(handler).expect("the test waits for it");
            async {}
        }
    };
    let bus = Bus::builder("memory:api-names")
        .on(&*name(1), tell("the builder"))
        .on_with(
            &*name(2),
            HandlerOptions::new(),
            tell("the builder, in its way"),
        )
        .start()
        .await?;
    bus.on(&*name(3), tell("the bus"))?;
    bus.on_with(
        &*name(4),
        HandlerOptions::new(),
        tell("the bus, in its way"),
    )?;
    bus.once(&*name(5), tell("the bus, once"))?;
    let mut stream = bus.stream::<_, u64>(&*name(6))?;

    for room in 1..=5 {
        bus.send_to_all(&*name(room), &1).await?;
    }
    bus.feed(&*name(6), &6).await?;

    let mut all = Vec::new();
    for _ in 1..=5 {
        all.push(received.recv().await.expect("each handler is called"));
    }
    all.sort_unstable();
    let wanted = [
        "the builder",
        "the builder, in its way",
        "the bus",
        "the bus, in its way",
        "the bus, once",
    ];
    assert_eq!(all, wanted);
    assert_eq!(stream.next().await, Some(6));
    Ok(())
}
