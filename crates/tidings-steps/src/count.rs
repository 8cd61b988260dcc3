//! Runs the program `event` under callgrind.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::callgrind::Profile;
use crate::package;
use crate::step::{Step, Steps};

/// Events of two runs. Their difference is free of what starting and stopping costs.
const SHORT: u32 = 1_500;
const LONG: u32 = 4_500;

const HANDLERS: u32 = 3;

pub(crate) const FORMATS: [(&str, &str); 2] = [("json", "JSON"), ("msgpack", "MessagePack")];

/// Costs by the name of the format.
pub(crate) type Counted = BTreeMap<&'static str, Cost>;

/// Instructions per event in one format.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cost {
    /// An event with one handler.
    pub(crate) event: Steps,
    /// An additional event without a handler.
    pub(crate) unwanted: Steps,
    /// An additional handler of the same event.
    pub(crate) handler: Steps,
}

impl Cost {
    /// Returns the part of all instructions that the rules assign to a step.
    pub(crate) fn named_part(&self) -> f64 {
        1.0 - self.event.get(Step::Other) / self.event.total()
    }
}

pub(crate) fn count() -> Result<Counted> {
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
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", "--tool=callgrind", "--dump-line=yes", &out]);
        valgrind.args([program, events, format, handlers, unwanted]);
        output(valgrind).context("`cargo xtask bench --instructions` installs valgrind")?;
        Profile::parse(&std::fs::read_to_string(file.path())?)
    };
    let event = run(LONG)?.per_event(&run(SHORT)?, LONG - SHORT);
    Ok(Steps::of(&event))
}

/// Builds the program, optimized where it matters, and returns its path.
fn build() -> Result<String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "build",
        "--locked",
        "--package",
        "tidings-steps",
        "--bin",
        "event",
    ]);
    cargo.arg("--config").arg(package().join("optimized.toml"));
    cargo.args(["--message-format", "json-render-diagnostics"]);
    // An incremental build is optimized in other parts, which changes the counts.
    cargo.env("CARGO_INCREMENTAL", "0");
    let messages = output(cargo)?;
    let executable = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(message.get("executable")?.as_str()?.to_owned())
    });
    executable.context("cargo built no program")
}

/// Runs a program in the folder of this package, and returns its output if it succeeds.
fn output(mut command: Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.current_dir(package()).stderr(Stdio::inherit());
    let output = command
        .output()
        .with_context(|| format!("cannot run `{name}`"))?;
    ensure!(
        output.status.success(),
        "`{name}` ended with {}",
        output.status
    );
    String::from_utf8(output.stdout).with_context(|| format!("cannot read the output of `{name}`"))
}

/// A compiler and an architecture, on which the counts depend.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Machine {
    pub(crate) rustc: String,
    pub(crate) architecture: String,
}

impl Machine {
    /// Returns this machine, with the compiler that builds the program.
    pub(crate) fn here() -> Result<Self> {
        let mut rustc = Command::new("rustc");
        rustc.arg("--version");
        let version = output(rustc)?;
        Ok(Self {
            rustc: minor_version(&version)?,
            architecture: std::env::consts::ARCH.to_owned(),
        })
    }
}

/// Returns `1.95` for `rustc 1.95.0 (59807616e 2026-04-14)`.
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
