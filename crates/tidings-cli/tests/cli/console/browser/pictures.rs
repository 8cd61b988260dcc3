//! The pictures of the book, of a fleet that works.

use std::time::Duration;

use tidings_testkit::Sentinels;
use tokio::time::sleep;

use super::session::Browser;
use super::shop;
use crate::console::client::Console;
use crate::fleet::Fleet;

/// The time in which the lines of the chart grow. The pictures in the book had 5 minutes.
const HISTORY: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a minute"]
async fn the_pages_of_a_shop_are_pictured_with_a_failover() {
    let (mut sentinels, fleet) = tokio::join!(Sentinels::start(), Fleet::start());
    shop::fill(&sentinels.url()).await;
    let _processes = shop::open(&fleet, &sentinels.url());
    let console = Console::start(&fleet, &["--url", &sentinels.url()]);
    let browser = Browser::open(&console).await;
    browser.size(1_280, 860).await;
    browser.scheme("light").await;
    browser.show("redis").await;
    browser
        .until_text("1 master · 2 replicas · 3 sentinels")
        .await;
    sleep(HISTORY).await;

    browser.show("overview").await;
    browser.until_text("What went wrong last").await;
    sleep(Duration::from_secs(3)).await;
    browser.save("shop-overview").await;
    browser.show("events?filter=order.*%20stock.*").await;
    sleep(Duration::from_secs(4)).await;
    browser.press("Pause").await;
    browser.click(".events li:nth-child(3) .line").await;
    browser.save("shop-events").await;
    browser.show("members").await;
    browser.until_text("search-1").await;
    browser.save("shop-members").await;

    let killed = sentinels.kill_master().await;
    sentinels.wait_for_master_other_than(killed).await;
    browser.show("redis").await;
    browser.until_text("replica → master").await;
    sleep(Duration::from_secs(3)).await;
    browser.save("shop-redis").await;
    browser.scheme("dark").await;
    browser.save("shop-redis-dark").await;
    browser.show("overview").await;
    sleep(Duration::from_secs(3)).await;
    browser.save("shop-overview-dark").await;
    browser.show("gaps").await;
    sleep(Duration::from_secs(3)).await;
    browser.save("shop-gaps-dark").await;
    browser.finish().await;
}
