//! The state of one call of `tidings`: the global options, the settings, and the output.

use std::fmt::Display;

use anstream::ColorChoice;

use crate::args::Global;
use crate::output;
use crate::settings::Settings;
use crate::terminal::{Style, paint};

/// The global options of one call of `tidings`.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) global: Global,
}

impl App {
    pub(crate) fn new(global: Global) -> Self {
        // `auto` is left to `anstream`, which reads NO_COLOR.
        match clap::ColorChoice::from(global.color) {
            clap::ColorChoice::Auto => {}
            clap::ColorChoice::Always => ColorChoice::Always.write_global(),
            clap::ColorChoice::Never => ColorChoice::Never.write_global(),
        }
        Self { global }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.global.json
    }

    /// Reads the settings of the address: the options, the environment and the files.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        let settings = Settings::read(&self.global)?;
        if let Some(warning) = settings.check_password_file()? {
            self.warn(&warning);
        }
        Ok(settings)
    }

    /// Prints a remark to standard error, unless `--quiet` was given.
    pub(crate) fn remark(&self, text: impl Display) {
        if !self.global.quiet {
            output::remark(paint(Style::Dim, text));
        }
    }

    /// Prints a warning to standard error.
    pub(crate) fn warn(&self, text: &str) {
        if !self.global.quiet {
            crate::terminal::print_labeled(Style::Warning, "warning", text);
        }
    }
}
