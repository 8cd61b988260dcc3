//! The test kit with real servers, sentinels and sockets.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod cluster;
mod proxy;
mod sentinels;
mod server;
