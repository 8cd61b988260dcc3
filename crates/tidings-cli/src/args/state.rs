//! The arguments of the commands for shared state.

use clap::{Parser, Subcommand};

use crate::args::PayloadArgs;

const STATE: &str = "\
A value is written as the payload of `tidings send`: JSON, fields, --text, --file or `-`.

Examples:
  tidings state set limits per_minute:=90 --if-version 17
  tidings state watch limits --json";

/// Show and change shared values.
#[derive(Debug, Parser)]
#[command(after_help = STATE)]
pub(crate) struct State {
    #[command(subcommand)]
    pub(crate) action: StateAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateAction {
    /// Print a value with its version.
    Get {
        /// Name of the value.
        name: String,
    },
    /// Write a value.
    Set {
        /// Name of the value.
        name: String,
        #[command(flatten)]
        value: PayloadArgs,
        /// Write only if the value has this version; 0 is a value that was never written.
        #[arg(long, value_name = "VERSION")]
        if_version: Option<u64>,
    },
    /// Edit a value with $VISUAL or $EDITOR, and write it unless it was changed in the meantime.
    Edit {
        /// Name of the value.
        name: String,
    },
    /// Print a value, and each change of it.
    Watch {
        /// Name of the value.
        name: String,
    },
    /// Remove a value.
    Clear {
        /// Name of the value.
        name: String,
    },
}

const MAP: &str = "\
Examples:
  tidings map get users 7
  tidings map ls users --limit 100";

/// Show and change shared maps.
#[derive(Debug, Parser)]
#[command(after_help = MAP)]
pub(crate) struct Map {
    #[command(subcommand)]
    pub(crate) action: MapAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MapAction {
    /// Print the value of a key.
    Get {
        /// Name of the map.
        name: String,
        /// Key.
        key: String,
    },
    /// Write the value of a key.
    Set {
        /// Name of the map.
        name: String,
        /// Key.
        key: String,
        #[command(flatten)]
        value: PayloadArgs,
    },
    /// List the keys with their values.
    Ls {
        /// Name of the map.
        name: String,
        /// Print at most this many keys.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Remove a key.
    Remove {
        /// Name of the map.
        name: String,
        /// Key.
        key: String,
    },
}

const COUNTER: &str = "\
Examples:
  tidings counter get visits
  tidings counter add visits 5";

/// Show and change counters.
#[derive(Debug, Parser)]
#[command(after_help = COUNTER)]
pub(crate) struct Counter {
    #[command(subcommand)]
    pub(crate) action: CounterAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CounterAction {
    /// Print the value.
    Get {
        /// Name of the counter.
        name: String,
    },
    /// Add a number, which may be negative, and print the sum.
    Add {
        /// Name of the counter.
        name: String,
        /// Number to add.
        #[arg(default_value = "1", allow_negative_numbers = true)]
        number: i64,
    },
    /// Set the counter to 0, and print its previous value.
    Reset {
        /// Name of the counter.
        name: String,
    },
}
