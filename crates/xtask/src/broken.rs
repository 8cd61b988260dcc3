//! `cargo xtask broken`: breaks tidings on purpose, one thing at a time, and sees the tests fail that
//! are there for it. A test that was never seen red proves little.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::install::ensure_redis;
use crate::tool::{Tool, cargo, repository, tool};

/// Where the patches are. Before the patch itself, each file names the tests that must fail, one on
/// a line that begins with this.
const PATCHES: &str = "crates/tidings-faults/broken";
const TEST: &str = "test: ";

/// One way to break it.
#[derive(Debug)]
struct Mutant {
    name: String,
    patch: PathBuf,
    tests: Vec<String>,
}

/// Breaks what contains `only` in its name.
pub(crate) fn run(only: &str) -> Result<()> {
    let mut mutants = mutants()?;
    mutants.retain(|mutant| mutant.name.contains(only));
    ensure!(!mutants.is_empty(), "nothing is called that in {PATCHES}");
    ensure_redis()?;
    let copy = Copy::make()?;

    println!("as it is");
    let all: BTreeSet<_> = mutants.iter().flat_map(|mutant| &mutant.tests).collect();
    let failed = copy.failed(all.into_iter().cloned())?;
    ensure!(failed.is_empty(), "fails as it is: {}", failed.join(", "));
    let mut survivors = Vec::new();
    for mutant in mutants {
        println!("broken: {}", mutant.name);
        copy.apply(&mutant.patch)?;
        let failed = copy.failed(mutant.tests.iter().cloned())?;
        for test in &mutant.tests {
            let is_red = failed.contains(test);
            println!("  {} {test}", if is_red { "red  " } else { "GREEN" });
            if !is_red {
                survivors.push(mutant.name.clone());
            }
        }
    }
    copy.restore()?;
    ensure!(
        survivors.is_empty(),
        "nobody noticed: {}",
        survivors.join(", ")
    );
    Ok(())
}

fn mutants() -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for entry in fs::read_dir(repository().join(PATCHES))? {
        let patch = entry?.path();
        let text = fs::read_to_string(&patch)?;
        let name = patch.file_stem().context("a patch has a name")?;
        mutants.push(Mutant {
            name: name.to_string_lossy().replace('-', " "),
            tests: tests_of(&text),
            patch,
        });
    }
    mutants.sort_by(|one, other| one.name.cmp(&other.name));
    let idle = mutants.iter().find(|mutant| mutant.tests.is_empty());
    ensure!(idle.is_none(), "no test is named for: {idle:?}");
    Ok(mutants)
}

fn tests_of(patch: &str) -> Vec<String> {
    let lines = patch.lines().take_while(|line| !line.starts_with("diff "));
    let tests = lines.filter_map(|line| line.strip_prefix(TEST));
    tests.map(str::to_owned).collect()
}

/// A copy of the repository that may be broken.
struct Copy {
    root: PathBuf,
    builds: PathBuf,
}

impl Copy {
    /// Of what is there now, committed or not; what git does not know yet is left out.
    fn make() -> Result<Self> {
        let place = repository().join("target/broken");
        let copy = Self {
            root: place.join("tree"),
            builds: place.join("builds"),
        };
        let now = tool("git").args(["stash", "create"]).output()?;
        let now = if now.is_empty() { "HEAD" } else { now.trim() };
        let now = tool("git").args(["rev-parse", now]).output()?;
        if !copy.root.exists() {
            let add = ["worktree", "add", "--force", "--detach"];
            let add = tool("git").args(add).args([text(&copy.root)?]);
            add.output()?;
        }
        copy.git(&["checkout", "--quiet", "--force", "--detach", now.trim()])?;
        Ok(copy)
    }

    fn apply(&self, patch: &Path) -> Result<()> {
        self.restore()?;
        self.git(&["apply", text(patch)?])
    }

    fn restore(&self) -> Result<()> {
        self.git(&["checkout", "--quiet", "--force", "."])
    }

    fn git(&self, arguments: &[&str]) -> Result<()> {
        let git = tool("git").args(["-C", text(&self.root)?]);
        git.args(arguments.iter().copied()).output().map(drop)
    }

    /// Runs these tests, and returns those that fail.
    fn failed(&self, tests: impl Iterator<Item = String>) -> Result<Vec<String>> {
        let tests: Vec<_> = tests.collect();
        let printed = self.tests(&tests)?.printed()?;
        let ended = |test: &str, how: &str| {
            let line = format!("test {test} ... {how}");
            printed.lines().any(|printed| printed == line)
        };
        for test in &tests {
            let has_run = ended(test, "ok") || ended(test, "FAILED");
            ensure!(has_run, "{test} did not run:\n{printed}");
        }
        let failed = tests.into_iter().filter(|test| ended(test, "FAILED"));
        Ok(failed.collect())
    }

    fn tests(&self, names: &[String]) -> Result<Tool> {
        let manifest = self.root.join("Cargo.toml");
        Ok(cargo("test")
            .args(["--locked", "--package", "tidings-tests", "--no-fail-fast"])
            .args(["--test", "faults", "--test", "kept"])
            .args(["--manifest-path", text(&manifest)?])
            .args(["--target-dir", text(&self.builds)?])
            .args(["--", "--exact"])
            .args(names.iter().cloned()))
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the path is no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_break_it_can_be_applied_and_names_its_tests() {
        let mutants = mutants().unwrap();

        assert!(mutants.len() >= 5);
        for Mutant { patch, .. } in mutants {
            let check = tool("git").args(["apply", "--check", text(&patch).unwrap()]);
            check.output().unwrap();
        }
    }

    #[test]
    fn tests_are_named_before_the_patch() {
        let patch = "Why.\ntest: faults::one\ntest: faults::two\ndiff --git\ntest: no\n";
        assert_eq!(tests_of(patch), ["faults::one", "faults::two"]);
    }
}
