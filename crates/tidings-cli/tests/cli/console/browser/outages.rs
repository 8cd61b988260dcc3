//! Servers that go away and come back.

use serde_json::json;

use super::session::Browser;
use crate::console::client::Console;
use crate::fleet::Fleet;
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_redis_is_seen_and_the_page_goes_on_without_a_reload() {
    let mut fleet = Fleet::start().await;
    let console = Console::start(&fleet, &["--timeout", "1s"]);
    let bus = fleet.member("api-1").await;
    let browser = Browser::open(&console).await;
    browser.show("events").await;
    browser
        .run("globalThis.isTheSame = true", json!(null))
        .await;
    bus.send_to_all("before", &1).await.unwrap();
    browser.until_text("before").await;

    fleet.redis.kill();
    browser
        .until_text("The console does not receive events")
        .await;
    fleet.redis.start_again().await;
    browser
        .until_no_text("The console does not receive events")
        .await;
    browser.until_live().await;
    eventually("the member is back", || bus.is_ready());
    bus.send_to_all("after", &1).await.unwrap();
    browser.until_text("after").await;
    browser.show("members").await;
    browser.until_text("1 member · 1 receive").await;
    assert_eq!(browser.eval("isTheSame").await, true, "it was loaded again");
    browser.finish().await;
}
