//! The arguments of `tidings completions`.

use clap::Parser;
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  tidings completions bash > ~/.local/share/bash-completion/completions/tidings
  tidings completions zsh > ~/.zfunc/_tidings";

/// Print the completions for a shell.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    /// Shell.
    pub(crate) shell: Shell,
}
