//! The arguments of `tidings man`.

use std::path::PathBuf;

use clap::Parser;

const EXAMPLES: &str = "\
Examples:
  tidings man ~/.local/share/man/man1
  tidings man /usr/local/share/man/man1";

/// Write the manual pages into a directory.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Man {
    /// Directory; it is created if it does not exist.
    pub(crate) directory: PathBuf,
}
