//! `cargo xtask faults`: how tidings and other libraries handle faults on this machine.

use anyhow::Result;

use crate::install::REDIS;
use crate::peers::prepare_for_faults;
use crate::tool::cargo;

/// Arguments that only ask the program for information.
const QUESTIONS: [&str; 3] = ["-h", "--help", "--version"];

/// Runs the fault program with the given arguments.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let is_question = |argument: &String| QUESTIONS.contains(&&**argument);
    if !arguments.iter().any(is_question) {
        REDIS.ensure()?;
        prepare_for_faults();
        build_server()?;
    }
    let program = cargo("run")
        .args(["--quiet", "--locked"])
        .args(["--package", "tidings-faults", "--features", "peers", "--"])
        .args(arguments.iter().cloned());
    program.succeed()
}

/// Builds the server whose workers are replaced under load.
fn build_server() -> Result<()> {
    let build = cargo("build").args(["--quiet", "--locked"]);
    let build = build.args(["--package", "tidings-supervisor", "--example", "server"]);
    build.succeed()
}
