//! The page of members.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::member;
use super::session::Browser;
use crate::console::client::Console;
use crate::fleet::Fleet;

/// A lease that a frozen member does not lose during the test.
const LONG: Duration = Duration::from_mins(1);

/// The shortest lease.
const SHORT: Duration = Duration::from_secs(1);

/// The state in the row of a member.
fn state_of(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('.member')].find((row) =>
            row.querySelector('th').textContent === '{name}')
            ?.querySelector('.state')?.textContent"
    )
}

pub(super) async fn members_appear_and_vanish_and_stop_responding_without_a_reload(
    browser: &mut Browser,
) {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &["--timeout", "1s"]);
    browser.enter(&console).await;
    browser.show("members").await;
    browser.until_text("Processes with a bus appear").await;
    browser
        .run("globalThis.isTheSame = true", json!(null))
        .await;
    let is = |name: &str, state: &str| format!("{} === '{state}'", state_of(name));

    // It removes the killed one from the list.
    let _other = fleet.member_with("web-1", |bus| bus.lease(SHORT)).await;
    let killed = member::start(&fleet, "api-1", SHORT);
    let frozen = member::start(&fleet, "job-1", LONG);
    browser
        .until("one receives", &is("api-1", "receives"))
        .await;
    browser
        .until("one receives", &is("job-1", "receives"))
        .await;

    frozen.signal(Signal::STOP);
    browser.until("it is silent", &is("job-1", "silent")).await;
    browser.until_text("no response within 1s").await;
    killed.signal(Signal::KILL);
    let is_gone = format!("{} === undefined", state_of("api-1"));
    browser.until("it has vanished", &is_gone).await;

    frozen.signal(Signal::CONT);
    browser.until("it is back", &is("job-1", "receives")).await;
    assert_eq!(browser.eval("isTheSame").await, true, "it was loaded again");
}
