//! The arguments of `tidings bench`.

use std::time::Duration;

use clap::Parser;
use clap::builder::RangedU64ValueParser;

use crate::args::time_above_zero;

/// The smallest payload has a number and a time.
const SMALLEST: u64 = 64;

/// Larger events do not fit a frame.
const LARGEST: u64 = 512 << 10;

const EXAMPLES: &str = "\
It sends in a namespace of its own, `bench-…`, so no other process receives the events. Exits with
code 3 if events were lost, duplicated, out of order or not sent.

Examples:
  tidings bench
  tidings bench --rate 50000 --for 30s --size 1024 --subscribers 4 --json";

/// Measure latency and CPU time of events, and check that all of them arrive.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bench {
    /// Events per second.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) rate: u64,
    /// Time in which events are sent.
    #[arg(long = "for", value_name = "TIME", value_parser = time_above_zero, default_value = "10s")]
    pub(crate) time: Duration,
    /// Size of a payload.
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(SMALLEST..=LARGEST))]
    pub(crate) size: usize,
    /// Subscribers, each of which receives all events.
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) subscribers: u16,
}
