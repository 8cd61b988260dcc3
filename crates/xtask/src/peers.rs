//! Prepares the libraries in other languages that the benchmark and the fault program compare with.
//! One that cannot be installed is skipped, with a message.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::tool::{Tool, has, repository, tool};

/// The folder in which `tidings-bench` looks for them.
const PREPARED: &str = "target/bench-peers";

/// The folder of their scripts.
const SCRIPTS: &str = "crates/tidings-bench/peers";

/// The same for `tidings-faults`.
const FAULTS_PREPARED: &str = "target/faults-peers";
const FAULTS_SCRIPTS: &str = "crates/tidings-faults/peers";

/// The same for the tests of the web console.
const BROWSER_PREPARED: &str = "target/browser/axe";
const BROWSER_SCRIPTS: &str = "crates/tidings-cli/tests/cli/console/browser/axe";

/// The same for the tests of `tidings schema export`.
const ASYNCAPI_PREPARED: &str = "target/asyncapi";
const ASYNCAPI_SCRIPTS: &str = "crates/tidings-cli/tests/cli/contract/asyncapi";

/// Installs what the benchmark compares with, if it is missing.
pub(crate) fn prepare() {
    let steps = [
        ("NATS", find_nats()),
        ("ioredis and node-redis", prepare_benchmark_javascript()),
        ("redis-py and FastStream", prepare_python()),
    ];
    for (peers, step) in steps {
        if let Err(error) = step {
            eprintln!("skipped: {peers}: {error:#}");
        }
    }
}

/// Installs the packages of the programs in the book, or says what is missing.
pub(crate) fn prepare_programs() -> Result<()> {
    ensure!(has("node"), "node is missing: apt-get install nodejs npm");
    prepare_benchmark_javascript()?;
    prepare_python()
}

/// Installs what the tests of the web console run in their browser.
pub(crate) fn prepare_browser() -> Result<()> {
    prepare_javascript(BROWSER_SCRIPTS, BROWSER_PREPARED)
}

/// Installs the parser that checks AsyncAPI documents.
pub(crate) fn prepare_asyncapi() -> Result<()> {
    prepare_javascript(ASYNCAPI_SCRIPTS, ASYNCAPI_PREPARED)
}

/// Installs what the fault program compares with, if it is missing.
pub(crate) fn prepare_for_faults() {
    if let Err(error) = prepare_javascript(FAULTS_SCRIPTS, FAULTS_PREPARED) {
        eprintln!("skipped: recluster: {error:#}");
    }
}

fn find_nats() -> Result<()> {
    let is_found = has("nats-server");
    ensure!(
        is_found,
        "nats-server is missing: apt-get install nats-server"
    );
    Ok(())
}

fn prepare_benchmark_javascript() -> Result<()> {
    prepare_javascript(&format!("{SCRIPTS}/js"), &format!("{PREPARED}/js"))
}

/// Copies the scripts next to their packages, where Node looks for them.
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
        // An incomplete folder would look complete the next time.
        let _ = fs::remove_dir_all(to.join("node_modules"));
    }
    done
}

/// Creates a virtual environment with the packages of the scripts.
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
    tool.succeed()
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
    fn a_missing_file_equals_no_file() {
        let here = in_repository("Cargo.toml");
        assert!(is_same(&here, &here));
        assert!(!is_same(&here, &in_repository("Cargo.lock")));
        assert!(!is_same(&in_repository("none"), &in_repository("none")));
    }
}
