//! The options that all commands have.

use std::time::Duration;

use clap::{Args, ColorChoice, ValueEnum};

use crate::args::time_above_zero;

const HEADING: &str = "Global options";

#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Context, which names an address; see `tidings context list`.
    #[arg(long, short, global = true, value_name = "NAME", help_heading = HEADING)]
    pub(crate) context: Option<String>,
    /// Address of Redis; a password in it is visible to other users of this machine.
    #[arg(long, global = true, value_name = "URL", help_heading = HEADING)]
    pub(crate) url: Option<String>,
    /// Namespace of the events.
    #[arg(long, short, global = true, value_name = "NAME", help_heading = HEADING)]
    pub(crate) namespace: Option<String>,
    /// Time in which Redis and the members must answer.
    #[arg(long, global = true, value_name = "TIME", value_parser = time_above_zero, default_value = "5s")]
    #[arg(help_heading = HEADING)]
    pub(crate) timeout: Duration,
    /// True if `--timeout` was given.
    #[arg(skip)]
    pub(super) has_timeout: bool,
    /// Print JSON, one object per line.
    #[arg(long, global = true, help_heading = HEADING)]
    pub(crate) json: bool,
    /// Print no remarks to standard error, only errors.
    #[arg(long, short, global = true, help_heading = HEADING, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print the log of the connection, or of the supervisor, to standard error; -vv prints more of it.
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = HEADING)]
    pub(crate) verbose: u8,
    /// Colors: `auto`, `always` or `never`. `NO_COLOR` turns them off, too.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value = "auto"
    )]
    #[arg(hide_possible_values = true, help_heading = HEADING)]
    pub(crate) color: Color,
    /// Do not ask before removing something; a protected context needs `--yes=CONTEXT`.
    #[arg(long, global = true, value_name = "CONTEXT", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "", help_heading = HEADING)]
    pub(crate) yes: Option<String>,
}

impl Global {
    /// Returns the time in which members must answer a question that needs no handler: they are stuck
    /// or disconnected after 1 s, unless `--timeout` gives them longer.
    pub(crate) fn patience(&self) -> Duration {
        const PATIENCE: Duration = Duration::from_secs(1);
        if self.has_timeout {
            self.timeout
        } else {
            PATIENCE
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl From<Color> for ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}
