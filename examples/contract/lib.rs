//! The examples as modules, so that one test has the events and handlers of all of them.
#![cfg(test)]
#![allow(dead_code, reason = "the programs are not run here")]

#[path = "../config_reload.rs"]
mod config_reload;
#[path = "../shop/handlers.rs"]
mod handlers;
#[path = "../processes.rs"]
mod processes;
#[path = "../visitor_counter.rs"]
mod visitor_counter;

#[test]
fn the_contract_in_the_file_is_that_of_the_code() {
    tidings_testkit::contract!("events.json");
}
