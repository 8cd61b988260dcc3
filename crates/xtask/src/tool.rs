//! Programs that the steps run.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The packages of the ordinary run: all but those of [`MEASURING`].
pub(crate) const ORDINARY: [&str; 9] = [
    "--workspace",
    "--exclude",
    "tidings-bench",
    "--exclude",
    "tidings-faults",
    "--exclude",
    "tidings-steps",
    "--exclude",
    "tidings-verdicts",
];

/// The packages that measure, which `cargo xtask test --long` checks and tests.
pub(crate) const MEASURING: [&str; 8] = [
    "--package",
    "tidings-bench",
    "--package",
    "tidings-faults",
    "--package",
    "tidings-steps",
    "--package",
    "tidings-verdicts",
];

/// Lets cargo check the lints of the workspace while it compiles the tests, so that nothing is analyzed
/// twice. A warning stops the build.
pub(crate) const LINTED: [&str; 2] = ["--config", ".cargo/lints.toml"];

/// A program with its arguments and environment variables. It runs in the root of the repository.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    name: &'static str,
    program: OsString,
    arguments: Vec<String>,
    variables: Vec<(&'static str, &'static str)>,
}

/// Returns a cargo command, for the cargo that runs this program.
pub(crate) fn cargo(command: &'static str) -> Tool {
    let mut cargo = tool("cargo");
    cargo.program = std::env::var_os("CARGO").unwrap_or(cargo.program);
    cargo.args([command])
}

pub(crate) fn tool(name: &'static str) -> Tool {
    Tool {
        name,
        program: name.into(),
        arguments: Vec::new(),
        variables: Vec::new(),
    }
}

/// Returns true if `cargo COMMAND` is installed.
pub(crate) fn cargo_has(command: &'static str) -> bool {
    cargo(command).args(["--version"]).is_there()
}

/// Returns true if a program of this name is on the PATH and runs.
pub(crate) fn has(name: &'static str) -> bool {
    tool(name).args(["--version"]).is_there()
}

impl Tool {
    pub(crate) fn args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Runs the program at `path` instead of the one on the PATH.
    pub(crate) fn at(mut self, path: impl Into<OsString>) -> Self {
        self.program = path.into();
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    /// Runs it with the input and output of this process, and fails if it does.
    pub(crate) fn succeed(&self) -> Result<()> {
        let status = self.command().status();
        let status = status.with_context(|| format!("cannot run `{self}`"))?;
        ensure!(status.success(), "`{self}` ended with {status}");
        Ok(())
    }

    /// Runs it, and returns its output if it succeeds.
    pub(crate) fn output(&self) -> Result<String> {
        let cannot_run = || format!("cannot run `{self}`");
        let mut command = self.command();
        command.stderr(Stdio::inherit());
        let output = command.output().with_context(cannot_run)?;
        ensure!(
            output.status.success(),
            "`{self}` ended with {}",
            output.status
        );
        String::from_utf8(output.stdout)
            .with_context(|| format!("cannot read the output of `{self}`"))
    }

    /// Runs it, and returns what it printed, also if it fails.
    pub(crate) fn printed(&self) -> Result<String> {
        Ok(self.captured()?.1)
    }

    /// Runs it, and returns its status and what it printed.
    pub(crate) fn captured(&self) -> Result<(ExitStatus, String)> {
        let output = self.command().stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot run `{self}`"))?;
        let printed = [output.stdout, output.stderr]
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .concat();
        Ok((output.status, printed))
    }

    fn is_there(&self) -> bool {
        let status = self
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.variables.iter().copied())
            .current_dir(repository());
        command
    }
}

/// The command as typed in a shell.
impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.variables {
            write!(f, "{name}={value} ")?;
        }
        write!(f, "{}", self.name)?;
        self.arguments
            .iter()
            .try_for_each(|word| write!(f, " {word}"))
    }
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate is two folders below the repository's root")
}

/// Returns a path as an argument.
pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}

/// The folder in which cargo builds.
pub(crate) fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    repository().join(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_printed_as_typed_in_a_shell() {
        let doc = cargo("doc").args(["--no-deps"]).env("RUSTDOCFLAGS", "-D");

        assert_eq!(doc.to_string(), "RUSTDOCFLAGS=-D cargo doc --no-deps");
    }
}
