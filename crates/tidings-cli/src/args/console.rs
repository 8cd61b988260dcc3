//! The arguments of `tidings console`.

use std::net::SocketAddr;

use clap::Parser;

const CONSOLE: &str = "\
Prints an address with a token, which is new at each start. Who has it can see all events and values,
and can change nothing without --allow-send or --allow-write: each change is a line on standard error.
Redis is only asked while a page is open.

Examples:
  tidings console
  tidings console --listen 127.0.0.1:0 -c production
  tidings console --allow-send -c production --yes=production";

/// Show the fleet in a browser: members, events, gaps, state and servers.
#[derive(Debug, Parser)]
#[command(after_help = CONSOLE)]
pub(crate) struct Console {
    /// Address of this machine to listen at; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8425")]
    pub(crate) listen: SocketAddr,
    /// Another name under which browsers reach it, as through a proxy: `HOST` or `HOST:PORT`.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// Show the names and sizes of events and values, and not what they contain.
    #[arg(long)]
    pub(crate) hide_payloads: bool,
    /// Let the page send events; a protected context asks for its name at the start.
    #[arg(long)]
    pub(crate) allow_send: bool,
    /// Let the page change values, maps and counters; a protected context asks for its name at the start.
    #[arg(long, conflicts_with = "hide_payloads")]
    pub(crate) allow_write: bool,
}
