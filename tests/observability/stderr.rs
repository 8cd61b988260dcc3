//! The output of a program that set no hook and no `tracing` subscriber.

use std::time::Duration;

use tidings::{Bus, memory};
use tidings_testkit::{memory_url, wait_for};
use tidings_tests::alone;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn unhandled_failures_and_gaps_are_printed_once_per_kind() {
    let name = "observability::stderr::unhandled_failures_and_gaps_are_printed_once_per_kind";
    let Some(output) = alone(name) else {
        return lose_events();
    };

    let printed = String::from_utf8(output.stderr).unwrap();
    let lines_with = |words: &str| printed.lines().filter(|line| line.contains(words)).count();
    assert_eq!(lines_with("the payload of `price`"), 1, "{printed}");
    assert_eq!(lines_with("did not handle `stock`"), 1, "{printed}");
    assert_eq!(lines_with("sold out"), 1, "{printed}");
    assert_eq!(lines_with("did not arrive"), 1, "{printed}");
    assert_eq!(lines_with("set `.on_failure(…)`"), 2, "{printed}");
    assert_eq!(printed.lines().count(), 3, "{printed}");
}

/// Each handler fails twice, and two gaps arrive.
#[tokio::main(flavor = "current_thread")]
async fn lose_events() {
    let url = memory_url();
    let bus = Bus::builder(&url).start().await.unwrap();
    bus.on("price", |_: u64| async {}).unwrap();
    bus.on("stock", |_: u64| async { Err::<(), _>("sold out") })
        .unwrap();
    let name = url.strip_prefix("memory:").unwrap();
    for seq in [1, 5, 9] {
        let frame = format!(r#"{{"v":1,"from":"{:032x}","seq":{seq},"events":[]}}"#, 7);
        memory::publish(name, "default", frame).await;
    }
    for _ in 0..2 {
        bus.send_to_all("price", "three").await.unwrap();
        bus.send_to_all("stock", &3).await.unwrap();
    }
    wait_for("all failures", SOON, async || bus.health().failures == 4).await;
    bus.shutdown(SOON).await.unwrap();
}
