//! `cargo xtask bench`: the speed of tidings and of other libraries in the same run.

use anyhow::Result;

use crate::install::{REDIS, VALGRIND};
use crate::peers;
use crate::tool::cargo;

/// Arguments that only ask the benchmark for information.
const QUESTIONS: [&str; 4] = ["-h", "--help", "--version", "--list"];

/// Runs the benchmark, optimized, with the given arguments.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let is_against = |argument: &String| argument.split('=').next() == Some("--against");
    let is_question = |argument: &String| QUESTIONS.contains(&&**argument);
    // Two revisions of tidings are compared without peers, and build faster without them.
    let with_peers = !arguments.iter().any(is_against);
    if !arguments.iter().any(is_question) {
        REDIS.ensure()?;
        if with_peers {
            peers::prepare();
        }
    }
    let features = if with_peers { "peers" } else { "" };
    let program = cargo("run")
        .args(["--quiet", "--release", "--locked"])
        .args(["--package", "tidings-bench", "--features", features, "--"])
        .args(arguments.iter().cloned());
    program.succeed()
}

/// Counts the instructions of an event, step by step.
pub(crate) fn count_instructions(arguments: &[String]) -> Result<()> {
    VALGRIND.ensure()?;
    let program = cargo("run")
        .args(["--quiet", "--locked", "--package", "tidings-steps"])
        .args(["--bin", "tidings-steps", "--"])
        .args(arguments.iter().cloned());
    program.succeed()
}
