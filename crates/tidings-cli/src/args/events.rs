//! The arguments of the commands that send events.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser};

use crate::args::time;

const SEND: &str = "\
A payload is JSON, or fields: `name=text` for a text, `name:=json` for other values. `-` is the
standard input. Without a payload the event has none.

A name that no member declares is refused: it may be misspelled. It is sent where no member declares
any, where one of them does not answer, and with --force.

`tidings send -` sends many events over one connection: it reads an object per line with `event` and
`data`, as `tidings listen --json` prints them, and sends all of them to all. A line that cannot be sent,
or whose payload the contract does not allow, is rejected with its number, and the next ones are sent.

Examples:
  tidings send user.renamed id:=7 name=Ada --ack
  tidings send cache.clear --text user:7 --to role:api
  tidings send - < events.ndjson
  tidings send - --replay --speed 10 < events.ndjson";

/// Send an event.
#[derive(Debug, Parser)]
#[command(after_help = SEND)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
pub(crate) struct Send {
    /// Name of the event; `-` reads events from the standard input.
    pub(crate) event: String,
    #[command(flatten)]
    pub(crate) payload: PayloadArgs,
    /// Receivers: `all`, `others`, a member by name or id, or `role:ROLE`.
    #[arg(long, value_name = "RECEIVER", default_value = "all")]
    pub(crate) to: To,
    /// Wait until the receivers have handled it, and name those that have not.
    #[arg(long)]
    pub(crate) ack: bool,
    /// Send the event to the journal, even if no running member has one.
    #[arg(long)]
    pub(crate) journal: bool,
    /// Send the event although no member declares its name, or the contract says that its payload cannot
    /// be read.
    #[arg(long)]
    pub(crate) force: bool,
    /// Pause between the events of standard input as when they were recorded.
    #[arg(long)]
    pub(crate) replay: bool,
    /// Speed of the replay: `2` halves the pauses, `max` has none.
    #[arg(long, value_name = "N", default_value = "1", requires = "replay")]
    pub(crate) speed: Speed,
    /// Header of the event. Repeatable.
    #[arg(long, value_name = "NAME=TEXT", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,
}

const LISTEN: &str = "\
It ends with Ctrl-C, and its last line says how many events were missed. Exits with code 3 if fewer
events than --count arrived.

Examples:
  tidings listen 'user.*' order.placed
  tidings listen --json --count 1 --for 10s user.renamed";

/// Print events as they arrive.
#[derive(Debug, Parser)]
#[command(after_help = LISTEN)]
pub(crate) struct Listen {
    /// Names of events; `*` stands for any characters. Without a name, all.
    pub(crate) names: Vec<String>,
    /// End after this many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this time.
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    pub(crate) time: Option<Duration>,
    /// Begin with the events that the journal has of this last time.
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "rates")]
    pub(crate) since: Option<Duration>,
    /// Print the events per second of each name instead.
    #[arg(long, conflicts_with = "count")]
    pub(crate) rates: bool,
    /// Also print the events of the buses themselves, `tidings.…`.
    #[arg(long)]
    pub(crate) control: bool,
}

const REQUEST: &str = "\
A payload is written as for `tidings send`. Exits with code 3 if a member failed or did not respond,
and with code 5 if no member has a handler.

Examples:
  tidings request stock.count --text apples --timeout 2s
  tidings request health --to role:api --json";

/// Send a request, and print the responses.
#[derive(Debug, Parser)]
#[command(after_help = REQUEST)]
pub(crate) struct Request {
    /// Name of the event.
    pub(crate) event: String,
    #[command(flatten)]
    pub(crate) payload: PayloadArgs,
    /// Receivers: `all`, `others`, a member by name or id, or `role:ROLE`.
    #[arg(long, value_name = "RECEIVER", default_value = "all")]
    pub(crate) to: To,
    /// Send the request although the contract says that its payload cannot be read.
    #[arg(long)]
    pub(crate) force: bool,
    /// Header of the event. Repeatable.
    #[arg(long, value_name = "NAME=TEXT", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,
}

/// The speed of a replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    /// This many times as fast.
    Times(f64),
    /// Without pauses.
    Max,
}

impl FromStr for Speed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse() {
            Ok(times) if (0.001..=1e6).contains(&times) => Ok(Self::Times(times)),
            _ => Err("expected `max`, or a number from 0.001 to 1000000"),
        }
    }
}

/// A payload in one of its forms.
#[derive(Debug, Default, Args)]
pub(crate) struct PayloadArgs {
    /// Payload: JSON, `name=text` and `name:=json`, or `-`.
    #[arg(value_name = "PAYLOAD", allow_negative_numbers = true)]
    #[arg(conflicts_with_all = ["text", "file"])]
    pub(crate) words: Vec<String>,
    /// Payload that is a text.
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "file",
        allow_hyphen_values = true
    )]
    pub(crate) text: Option<String>,
    /// File with the payload, as JSON.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
}

/// The receivers of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum To {
    All,
    Others,
    Role(String),
    /// A member by its name, its id or the beginning of its id.
    Member(String),
}

impl FromStr for To {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match (text, text.split_once(':')) {
            ("all", _) => Self::All,
            ("others", _) => Self::Others,
            (_, Some(("role", role))) => Self::Role(role.to_owned()),
            _ => Self::Member(text.to_owned()),
        })
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected `NAME=TEXT`")?;
    Ok((name.to_owned(), value.to_owned()))
}
