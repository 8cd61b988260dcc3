//! Servers that go away and come back.

use serde_json::json;
use tidings_testkit::Sentinels;

use super::session::Browser;
use crate::console::client::Console;
use crate::fleet::Fleet;
use crate::support::eventually;

pub(super) async fn a_restart_of_redis_is_seen_and_the_page_goes_on_without_a_reload(
    browser: &mut Browser,
) {
    let mut fleet = Fleet::start().await;
    let console = Console::start(&fleet, &["--timeout", "1s"]);
    let bus = fleet.member("api-1").await;
    browser.enter(&console).await;
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
}

pub(super) async fn roles_change_on_the_page_during_a_failover(browser: &mut Browser) {
    let (mut sentinels, fleet) = tokio::join!(Sentinels::start(), Fleet::start());
    let console = Console::start(&fleet, &["--url", &sentinels.url(), "--timeout", "1s"]);
    browser.enter(&console).await;
    browser.show("redis").await;
    browser
        .until_text("1 master · 2 replicas · 3 sentinels")
        .await;
    browser
        .run("globalThis.isTheSame = true", json!(null))
        .await;

    let killed = sentinels.kill_master().await;
    let new = sentinels.wait_for_master_other_than(killed).await.port();
    let change = |port, words: &str| {
        format!(
            "[...document.querySelectorAll('.plain li')].some((it) =>
                it.textContent.includes(':{port} ') && it.textContent.endsWith('{words}'))"
        )
    };
    browser
        .until(
            "the old master is gone",
            &change(killed, " master → unreachable"),
        )
        .await;
    // On a busy machine, it may have been unreachable for a moment.
    browser
        .until("there is a new one", &change(new, " → master"))
        .await;
    let master =
        format!("document.querySelector('.is-master h2 bdi').textContent.endsWith(':{new}')");
    browser.until("it is the first", &master).await;
    browser.save("failover").await;
    assert_eq!(browser.eval("isTheSame").await, true, "it was loaded again");
}
