//! The arguments of the commands that show a fleet.

use clap::Parser;

const MEMBERS: &str = "\
Examples:
  tidings members
  tidings members -c production --json";

/// List the members of the namespace.
#[derive(Debug, Parser)]
#[command(after_help = MEMBERS)]
pub(crate) struct Members {}
