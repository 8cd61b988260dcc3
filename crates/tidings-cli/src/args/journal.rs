//! The arguments of `tidings journal`.

use std::time::Duration;

use clap::{Parser, Subcommand};
use tidings::JournalPosition;

use crate::args::time;

const EXAMPLES: &str = "\
Examples:
  tidings journal positions
  tidings journal trim --older-than 1h";

/// Show and trim the journal of the namespace.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Journal {
    #[command(subcommand)]
    pub(crate) action: JournalAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JournalAction {
    /// Show the extent of the journal.
    Info,
    /// List the durable names with their positions.
    Positions,
    /// Remove the entries before a position or a time.
    Trim {
        /// Position of the first entry that stays, such as `1760000000000-3`.
        #[arg(required_unless_present = "older_than", conflicts_with = "older_than")]
        before: Option<JournalPosition>,
        /// Remove the entries that are older than this.
        #[arg(long, value_name = "TIME", value_parser = time)]
        older_than: Option<Duration>,
    },
    /// Remove a durable name with its position.
    Remove {
        /// Durable name.
        name: String,
    },
}
