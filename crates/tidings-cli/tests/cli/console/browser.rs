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

use super::client::Console;
use crate::fleet::Fleet;
use crate::support::Running;

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
