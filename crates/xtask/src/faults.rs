//! `cargo xtask faults`: what tidings does here when something goes wrong, beside other libraries.

use anyhow::{Result, ensure};

use crate::install::ensure_redis;
use crate::peers::prepare_for_faults;
use crate::tool::cargo;

/// What only asks the program something.
const QUESTIONS: [&str; 3] = ["-h", "--help", "--version"];

/// Runs the program that makes the faults, with the arguments that were given.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let is_question = |argument: &String| QUESTIONS.contains(&&**argument);
    if !arguments.iter().any(is_question) {
        ensure_redis()?;
        prepare_for_faults();
        build_server()?;
    }
    let program = cargo("run")
        .args(["--quiet", "--locked"])
        .args(["--package", "tidings-faults", "--features", "peers", "--"])
        .args(arguments.iter().cloned());
    let status = program.run()?;
    ensure!(status.success(), "the faults ended with {status}");
    Ok(())
}

/// The server whose workers are replaced under load.
fn build_server() -> Result<()> {
    let build = cargo("build").args(["--quiet", "--locked"]).args([
        "--package",
        "tidings-supervisor",
        "--example",
        "server",
    ]);
    ensure!(build.run()?.success(), "`{build}` failed");
    Ok(())
}
