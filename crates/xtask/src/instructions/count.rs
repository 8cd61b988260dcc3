//! Runs the counted program under callgrind.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::callgrind::Profile;
use super::step::{Step, Steps};
use crate::tool::{cargo, has, tool};

/// Two lengths: what the longer run has more is what its events cost, without start and end.
const SHORT: u32 = 1_500;
const LONG: u32 = 4_500;

const HANDLERS: u32 = 3;

pub(crate) const FORMATS: [(&str, &str); 2] = [("json", "JSON"), ("msgpack", "MessagePack")];

/// By the format's name.
pub(crate) type Counted = BTreeMap<&'static str, Cost>;

/// What events of a format cost, in instructions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cost {
    /// An event that one handler wants.
    pub(crate) event: Steps,
    /// One more event that nobody wants.
    pub(crate) unwanted: Steps,
    /// One more handler of the same event.
    pub(crate) handler: Steps,
}

impl Cost {
    /// How much of it the rules can name a step for.
    pub(crate) fn named_part(&self) -> f64 {
        1.0 - self.event.get(Step::Other) / self.event.total()
    }
}

pub(crate) fn count() -> Result<Counted> {
    ensure!(
        has("valgrind"),
        "`valgrind` is not on the PATH; `cargo xtask test` installs it"
    );
    let program = build()?;
    let costs = FORMATS.map(|(format, _)| Ok((format, cost(&program, format)?)));
    costs.into_iter().collect()
}

fn cost(program: &str, format: &str) -> Result<Cost> {
    let event = steps(program, format, 1, 0)?;
    let unwanted = steps(program, format, 1, 1)?.more_than(&event, 1);
    let handler = steps(program, format, HANDLERS, 0)?.more_than(&event, HANDLERS - 1);
    Ok(Cost {
        event,
        unwanted,
        handler,
    })
}

fn steps(program: &str, format: &str, handlers: u32, unwanted: u32) -> Result<Steps> {
    let run = |events: u32| {
        let file = tempfile::NamedTempFile::new()?;
        let out = format!("--callgrind-out-file={}", file.path().display());
        let numbers = [events, handlers, unwanted].map(|number| number.to_string());
        let [events, handlers, unwanted] = &numbers;
        tool("valgrind")
            .args(["--quiet", "--tool=callgrind", "--dump-line=yes", &out])
            .args([program, events, format, handlers, unwanted])
            .output()?;
        Profile::parse(&std::fs::read_to_string(file.path())?)
    };
    let event = run(LONG)?.per_event(&run(SHORT)?, LONG - SHORT);
    Ok(Steps::of(&event))
}

/// Builds the counted program, optimized where it matters; returns where it is.
fn build() -> Result<String> {
    let messages = cargo("build")
        .args(["--locked", "--package", "tidings-steps"])
        .args(["--config", "crates/tidings-steps/optimized.toml"])
        .args(["--message-format", "json-render-diagnostics"])
        // A part of a crate is optimized otherwise than the whole.
        .env("CARGO_INCREMENTAL", "0")
        .output()?;
    let executable = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(message.get("executable")?.as_str()?.to_owned())
    });
    executable.context("cargo built no program")
}

/// What the counts depend on, besides the code.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Machine {
    pub(super) rustc: String,
    pub(super) architecture: String,
}

impl Machine {
    /// This machine, with the compiler that builds the counted program.
    pub(crate) fn here() -> Result<Self> {
        let version = tool("rustc").args(["--version"]).output()?;
        Ok(Self {
            rustc: minor_version(&version)?,
            architecture: std::env::consts::ARCH.to_owned(),
        })
    }
}

/// `1.95` of `rustc 1.95.0 (59807616e 2026-04-14)`.
fn minor_version(version: &str) -> Result<String> {
    let number = version.split(' ').nth(1);
    let minor = number.and_then(|number| number.rsplit_once('.'));
    let (minor, _) = minor.with_context(|| format!("rustc's version is `{version}`"))?;
    Ok(minor.to_owned())
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rustc {} on {}", self.rustc, self.architecture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_of_the_compiler_changes_no_count() {
        let version = minor_version("rustc 1.95.0 (59807616e 2026-04-14)\n").unwrap();

        assert_eq!(version, "1.95");
    }
}
