//! Handlers marked `#[tidings::on]`: collected wherever they are linked in, on every bus of the
//! program.
#![allow(clippy::unwrap_used, reason = "a panic in a test is the report")]

mod log_capture;

use std::io;
use std::time::Duration;

use tidings::prelude::*;
use tidings::{BusBuilder, HandlerFailure, StartError};
// This line links the crate; nothing else of it is named.
use tidings_tests_plugin as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

type Told = UnboundedSender<String>;

#[derive(Debug, Serialize, Deserialize, Event)]
#[event("user.renamed")]
struct UserRenamed {
    name: String,
}

#[tidings::on]
async fn greet(renamed: UserRenamed, State(reported): State<Told>) -> Result<(), io::Error> {
    if renamed.name.is_empty() {
        return Err(io::Error::other("nobody to greet"));
    }
    tell(&reported, &format!("greet: {}", renamed.name));
    Ok(())
}

#[tidings::on("cache.clear")]
async fn clear(key: String, State(reported): State<Told>, context: Context, bus: Bus) {
    let is_own = context.sender() == Some(bus.id());
    tell(
        &reported,
        &format!("clear: {key} by {}, own: {is_own}", context.event_name()),
    );
}

mod within {
    use super::{State, Told, tell};

    /// A raw identifier: `r#loop` is named `loop`.
    #[tidings::on("loop.began")]
    pub(crate) async fn r#loop((): (), State(reported): State<Told>) {
        tell(&reported, "loop");
    }
}

fn tell(reported: &Told, what: &str) {
    // The receiver may be gone at the end of a test.
    let _ = reported.send(what.to_owned());
}

fn builder(name: &str) -> (BusBuilder, UnboundedReceiver<String>) {
    let (reported, received) = unbounded_channel::<String>();
    (
        Bus::builder(&format!("memory:collected-{name}")).state(reported),
        received,
    )
}

async fn next<T>(received: &mut UnboundedReceiver<T>) -> T {
    timeout(Duration::from_secs(10), received.recv())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn a_marked_function_receives_the_events_of_its_type() {
    let (builder, mut received) = builder("typed");
    let bus = builder.start().await.unwrap();

    bus.publish(&UserRenamed { name: "Ada".into() })
        .await
        .unwrap();

    assert_eq!(next(&mut received).await, "greet: Ada");
}

#[tokio::test]
async fn a_function_marked_with_a_name_receives_the_events_of_that_name() {
    let (builder, mut received) = builder("named");
    let bus = builder.start().await.unwrap();

    bus.send_to_all("cache.clear", "user:7").await.unwrap();
    bus.send_to_all("loop.began", &()).await.unwrap();

    let mut both = [next(&mut received).await, next(&mut received).await];
    both.sort();
    assert_eq!(both, ["clear: user:7 by cache.clear, own: true", "loop"]);
}

#[tokio::test]
async fn a_handler_of_another_crate_is_collected_when_the_crate_is_linked() {
    let (builder, mut received) = builder("plugin");
    let bus = builder.start().await.unwrap();

    bus.send_to_all("plugin.loaded", "maps").await.unwrap();

    assert_eq!(next(&mut received).await, "plugin: maps");
}

#[tokio::test]
async fn a_failing_collected_handler_is_reported_by_its_path() {
    let (builder, _heard) = builder("failing");
    let (reported, mut failures) = unbounded_channel();
    let hook = move |failure| reported.send(failure).unwrap();
    let bus = builder.on_failure(hook).start().await.unwrap();

    bus.publish(&UserRenamed {
        name: String::new(),
    })
    .await
    .unwrap();

    let Failure::Handler { handler, cause, .. } = next(&mut failures).await else {
        panic!("the failure is the handler's");
    };
    assert!(handler.contains("collected::greet"), "{handler}");
    assert!(matches!(cause, HandlerFailure::Failed(_)));
}

#[tokio::test]
async fn a_bus_does_not_start_without_the_state_of_a_collected_handler() {
    let started = Bus::builder("memory:collected-missing-state").start().await;

    assert!(
        matches!(started, Err(StartError::Handler { .. })),
        "{started:?}"
    );
}

#[tokio::test]
async fn the_start_logs_each_collected_handler_and_their_number() {
    let log = log_capture::log();
    let (builder, _heard) = builder("logged");
    let _bus = builder.start().await.unwrap();

    let handlers = [
        ("collected::greet", "collected.rs"),
        ("collected::clear", "collected.rs"),
        ("collected::within::", "collected.rs"),
        ("tidings_tests_plugin::loaded", "lib.rs"),
    ];
    for (handler, file) in handlers {
        let is_logged =
            |line: &str| line.contains(" INFO ") && line.contains(handler) && line.contains(file);
        log.wait_for(|line| is_logged(line)).await;
    }
    let number = format!("count={}", handlers.len());
    log.wait_for(|line| line.contains(" INFO ") && line.contains(&number))
        .await;
}

#[tokio::test]
async fn without_auto_register_only_explicit_handlers_receive() {
    let (tx, mut received) = unbounded_channel();
    let bus = Bus::builder("memory:collected-without")
        .auto_register(false)
        .subscribe(move |renamed: UserRenamed| {
            let tx = tx.clone();
            async move { tell(&tx, &renamed.name) }
        })
        .start()
        .await
        .unwrap();

    let receipt = bus.publish(&UserRenamed { name: "Ada".into() }).await;

    assert!(receipt.is_ok());
    assert_eq!(next(&mut received).await, "Ada");
}

#[tokio::test]
async fn a_marked_function_can_be_registered_explicitly_and_called() {
    let (builder, mut received) = builder("explicit");
    let (reported, mut by_hand) = unbounded_channel();
    let bus = builder
        .auto_register(false)
        .subscribe(greet)
        .start()
        .await
        .unwrap();

    bus.publish(&UserRenamed { name: "Ada".into() })
        .await
        .unwrap();
    greet(UserRenamed { name: "Bob".into() }, State(reported))
        .await
        .unwrap();

    assert_eq!(next(&mut received).await, "greet: Ada");
    assert_eq!(next(&mut by_hand).await, "greet: Bob");
}
