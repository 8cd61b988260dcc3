//! `cargo xtask bench`: how fast tidings is here, beside every peer in the same run.

use anyhow::{Result, ensure};

use crate::install::ensure_redis;
use crate::peers;
use crate::tool::cargo;

/// What only asks the benchmark program something.
const QUESTIONS: [&str; 4] = ["-h", "--help", "--version", "--list"];

/// Runs the benchmark program, optimized, with the arguments that were given.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let is_question = |argument: &String| QUESTIONS.contains(&&**argument);
    if !arguments.iter().any(is_question) {
        ensure_redis()?;
        peers::prepare();
    }
    let program = cargo("run")
        .args(["--quiet", "--release", "--locked"])
        .args(["--package", "tidings-bench", "--features", "peers", "--"])
        .args(arguments.iter().cloned());
    let status = program.run()?;
    ensure!(status.success(), "the benchmark ended with {status}");
    Ok(())
}
