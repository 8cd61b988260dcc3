//! The arguments of `tidings context`.

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
A context names an address, its namespace and where its password is, in
~/.config/tidings/config.toml. `tidings.toml` of a project can name a context.

Examples:
  tidings context show -c production
  tidings context use dev";

/// Show and choose contexts: addresses and namespaces by name.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Context {
    #[command(subcommand)]
    pub(crate) action: ContextAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContextAction {
    /// Show the settings that commands use here, and where each comes from.
    Show,
    /// List all contexts.
    List,
    /// Make a context the default.
    Use {
        /// Name of the context.
        name: String,
    },
}
