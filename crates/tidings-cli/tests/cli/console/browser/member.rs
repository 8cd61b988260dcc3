//! A member in a process of its own, which a test can kill and stop.

use std::env;
use std::time::Duration;

use serde_json::Value;
use tidings::Bus;

use crate::fleet::{Fleet, NAMESPACE};
use crate::own_process::{end_with_parent, of_this_program};
use crate::support::Running;

/// The variable with the name of the member.
const NAME: &str = "TIDINGS_TEST_MEMBER";

/// The variable with its lease in milliseconds.
const LEASE: &str = "TIDINGS_TEST_LEASE";

/// Starts a member, and waits until it has joined. It dies with the test.
pub(super) fn start(fleet: &Fleet, name: &str, lease: Duration) -> Running {
    let mut command = of_this_program(fleet, "console::browser::member::process");
    command.env(NAME, name);
    let running = Running::start(command.env(LEASE, lease.as_millis().to_string()));
    running.stdout.wait_for("joined");
    running
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process that other tests start"]
async fn process() {
    let Ok(name) = env::var(NAME) else {
        return;
    };
    end_with_parent();
    let lease = env::var(LEASE).unwrap().parse().unwrap();
    let bus = Bus::builder(&env::var("TIDINGS_URL").unwrap())
        .namespace(NAMESPACE)
        .auto_register(false)
        .name(&name)
        .lease(Duration::from_millis(lease))
        .on("tick", async |_: Value| {});
    let bus = bus.start().await.unwrap();
    bus.members().await.unwrap();
    println!("joined");
    std::future::pending::<()>().await;
}
