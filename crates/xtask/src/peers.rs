//! What peers in other languages need, of the benchmark and of the faults. Each one that cannot be had
//! is left out, and a line says why: a comparison without it is better than none.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::install::ensure_nats;
use crate::tool::{Tool, has, repository, tool};

/// Where the benchmark looks for them; `tidings-bench` knows the same folder.
const PREPARED: &str = "target/bench-peers";

/// Where their scripts are.
const SCRIPTS: &str = "crates/tidings-bench/peers";

/// The same for `tidings-faults`.
const FAULTS_PREPARED: &str = "target/faults-peers";
const FAULTS_SCRIPTS: &str = "crates/tidings-faults/peers";

/// Brings what is missing.
pub(crate) fn prepare() {
    let steps = [
        ("NATS", ensure_nats()),
        ("ioredis and node-redis", prepare_benchmark_javascript()),
        ("redis-py and FastStream", prepare_python()),
    ];
    for (peers, step) in steps {
        if let Err(error) = step {
            eprintln!("left out: {peers}: {error:#}");
        }
    }
}

/// Brings what the faults are compared with, if it is missing.
pub(crate) fn prepare_for_faults() {
    if let Err(error) = prepare_javascript(FAULTS_SCRIPTS, FAULTS_PREPARED) {
        eprintln!("left out: recluster: {error:#}");
    }
}

fn prepare_benchmark_javascript() -> Result<()> {
    prepare_javascript(&format!("{SCRIPTS}/js"), &format!("{PREPARED}/js"))
}

/// A copy of the scripts beside their packages, because that is where node looks for packages.
fn prepare_javascript(from: &str, folder: &str) -> Result<()> {
    let (from, to) = (in_repository(from), in_repository(folder));
    ensure!(has("npm"), "npm is missing: apt-get install nodejs npm");
    let lock = "package-lock.json";
    let is_fresh = is_same(&from.join(lock), &to.join(lock)) && to.join("node_modules").exists();
    copy_files(&from, &to)?;
    if is_fresh {
        return Ok(());
    }
    let done = run(&tool("npm").args([
        "ci",
        "--omit=dev",
        "--no-audit",
        "--no-fund",
        "--prefix",
        folder,
    ]));
    if done.is_err() {
        // Half a folder would look whole the next time.
        let _ = fs::remove_dir_all(to.join("node_modules"));
    }
    done
}

/// A virtual environment with the packages that the scripts need.
fn prepare_python() -> Result<()> {
    let (wanted, to) = (
        in_repository(SCRIPTS).join("python/requirements.txt"),
        prepared("python"),
    );
    ensure!(
        has("python3"),
        "python3 is missing: apt-get install python3-venv"
    );
    ensure!(wanted.exists(), "{} is missing", wanted.display());
    let installed = to.join("requirements.txt");
    if is_same(&wanted, &installed) {
        return Ok(());
    }
    let folder = format!("{PREPARED}/python");
    run(&tool("python3").args(["-m", "venv", "--clear", &folder]))?;
    let requirements = format!("{SCRIPTS}/python/requirements.txt");
    let pip = tool("python of the virtual environment").at(to.join("bin/python"));
    let done = run(&pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--requirement",
        &requirements,
    ]));
    if done.is_err() {
        let _ = fs::remove_dir_all(&to);
    } else {
        fs::copy(&wanted, &installed)?;
    }
    done
}

fn run(tool: &Tool) -> Result<()> {
    eprintln!("preparing peers: {tool}");
    let status = tool.run()?;
    if !status.success() {
        bail!("`{tool}` failed");
    }
    Ok(())
}

fn prepared(name: &str) -> PathBuf {
    in_repository(PREPARED).join(name)
}

fn in_repository(name: &str) -> PathBuf {
    repository().join(name)
}

fn is_same(one: &Path, other: &Path) -> bool {
    let contents = |path: &Path| fs::read(path).ok();
    contents(one).is_some_and(|one| Some(one) == contents(other))
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_not_the_same() {
        let here = in_repository("Cargo.toml");
        assert!(is_same(&here, &here));
        assert!(!is_same(&here, &in_repository("Cargo.lock")));
        assert!(!is_same(&in_repository("none"), &in_repository("none")));
    }
}
