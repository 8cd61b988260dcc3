//! `cargo xtask bench`: how fast tidings is here, beside the redis crate in the same run.

use anyhow::{Result, ensure};

use crate::install::ensure_redis;
use crate::tool::cargo;

/// Runs the benchmark program, optimized, with the arguments that were given.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    ensure_redis()?;
    let program = cargo("run")
        .args([
            "--quiet",
            "--release",
            "--locked",
            "--package",
            "tidings-bench",
            "--",
        ])
        .args(arguments.iter().cloned());
    let status = program.run()?;
    ensure!(status.success(), "the benchmark ended with {status}");
    Ok(())
}
