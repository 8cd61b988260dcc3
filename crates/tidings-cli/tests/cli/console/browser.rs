//! The page of `tidings console`, in a real Chromium.
//!
//! A start of a browser takes two seconds of a processor, so the parts of a test share one; each part
//! has a console and servers of its own. No document may break its policy and no script may fail:
//! [`finish`](session::Browser::finish) checks both. Screenshots are kept in
//! `target/browser/screenshots`. Tests that take minutes or measure run in `cargo xtask test --long`.

mod chromium;
mod driver;
mod member;
mod session;

mod appearance;
mod changes;
mod contract;
mod events;
mod hostile;
mod load;
mod members;
mod other_origin;
mod outages;
mod pictures;
mod shop;
mod tabs;
mod token;

use std::net::SocketAddr;

use self::session::Browser;
use super::client::Console;
use crate::fleet::Fleet;
use crate::support::Running;

#[tokio::test(flavor = "multi_thread")]
async fn members_and_servers_come_and_go_without_a_reload() {
    let mut browser = Browser::start().await;
    members::members_appear_and_vanish_and_stop_responding_without_a_reload(&mut browser).await;
    outages::a_restart_of_redis_is_seen_and_the_page_goes_on_without_a_reload(&mut browser).await;
    let failover = outages::roles_change_on_the_page_during_a_failover(&mut browser);
    Box::pin(failover).await;
    tabs::of_eight_tabs_the_seen_one_is_live_and_the_others_hold_no_stream(&mut browser).await;
    browser.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_losses_and_hostile_texts_are_shown_as_they_arrive() {
    let mut browser = Browser::start().await;
    hostile::forty_hostile_texts_are_shown_as_texts_wherever_they_come_from(&mut browser).await;
    events::an_event_is_on_the_page_within_a_second_decoded(&mut browser).await;
    events::the_list_is_filtered_paused_continued_and_cleared(&mut browser).await;
    events::losses_are_rows_where_they_happened(&mut browser).await;
    events::a_console_that_may_not_send_has_no_form_and_refuses_a_post(&mut browser).await;
    browser.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_seen_nowhere_else_and_everyone_who_has_it_can_use_the_page() {
    let mut browser = Browser::start().await;
    // First, because it forgets the log of the browser.
    other_origin::a_page_on_another_port_reads_sends_and_embeds_nothing(&mut browser).await;
    other_origin::another_server_is_told_neither_the_token_nor_the_address(&mut browser).await;
    token::without_the_right_token_the_page_says_only_that_one_is_needed(&mut browser).await;
    token::the_token_opens_the_page_and_is_not_left_in_the_address_or_the_history(&mut browser)
        .await;
    token::a_page_whose_console_was_restarted_goes_on_with_the_new_token(&mut browser).await;
    appearance::the_form_for_the_token_is_accessible(&mut browser).await;
    appearance::everything_is_reached_with_the_keyboard(&mut browser).await;
    appearance::all_pages_are_accessible_in_light_and_dark_and_fit_a_narrow_screen(&mut browser)
        .await;
    browser.finish().await;
}

/// Starts a console at an address that another one had.
fn start_at(fleet: &Fleet, address: SocketAddr) -> Console {
    let mut command = fleet.command();
    let running = Running::start(command.args(["console", "--listen", &address.to_string()]));
    let url = running.stdout.wait_for("http://127.0.0.1:");
    let (_, token) = url.split_once("/#").unwrap();
    Console {
        token: token.to_owned(),
        address,
        running,
    }
}
