//! A member in a process of its own, which a test can kill and stop.

use std::env;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

#[cfg(target_os = "linux")]
use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::Value;
use tidings::Bus;

use crate::fleet::{Fleet, NAMESPACE};
use crate::support::Running;

/// The variable with the name of the member.
const NAME: &str = "TIDINGS_TEST_MEMBER";

/// The variable with its lease in milliseconds.
const LEASE: &str = "TIDINGS_TEST_LEASE";

/// Starts a member, and waits until it has joined. It dies with the test.
pub(super) fn start(fleet: &Fleet, name: &str, lease: Duration) -> Running {
    let mut command = of_this_program(fleet, "member::process");
    command.env(NAME, name);
    let running = Running::start(command.env(LEASE, lease.as_millis().to_string()));
    running.stdout.wait_for("joined");
    running
}

/// Another process of this program, which runs a function of the tests in a browser.
pub(super) fn of_this_program(fleet: &Fleet, name: &str) -> Command {
    let program = env::current_exe().unwrap();
    let mut command = fleet.command_of(program.to_str().unwrap());
    let function = format!("console::browser::{name}");
    command
        .args([&function, "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::piped());
    command
}

/// Ends this process when the one that started it has ended, also if this one is stopped (on Linux).
pub(super) fn end_with_parent() {
    #[cfg(target_os = "linux")]
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
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
