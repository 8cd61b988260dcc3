//! `cargo xtask broken`: applies one patch after the other that breaks tidings, and expects the tests
//! that it names to fail. A test that has never failed proves little.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::install::REDIS;
use crate::tool::{Tool, cargo, repository, text, tool};

/// The folder of the patches. Before the patch, each file names the tests that must fail, each on a
/// line that begins with [`TEST`]: the binary and the test's name, as nextest prints them.
///
/// ```text
/// test: faults::loss::NAME                    without a binary: `tests` of `tidings-tests`
/// test: tidings sequence::tests::NAME         unit tests of a library
/// test: tidings-codec::codec hostile::NAME    another program of integration tests
/// test: xtask::bin/xtask broken::tests::NAME  unit tests of a program
/// ```
const PATCHES: &str = "crates/tidings-faults/broken";
const TEST: &str = "test: ";

/// Selected in each build: it turns on the features of tidings, so that one build of the library
/// serves all tests.
const PROMISES: &str = "tidings-tests";

/// A patch that breaks tidings.
#[derive(Debug)]
struct Mutant {
    name: String,
    patch: PathBuf,
    tests: Vec<Test>,
}

/// A test that must fail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Test {
    binary: Binary,
    name: String,
}

/// A program of tests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Binary {
    /// `tests` of the package [`PROMISES`].
    Usual,
    Library {
        package: String,
    },
    Program {
        package: String,
        program: String,
    },
    Integration {
        package: String,
        file: String,
    },
}

/// Applies the patches whose name contains one of these words; all patches if there is none.
pub(crate) fn run(only: &[String]) -> Result<()> {
    let mut mutants = mutants()?;
    // Names are accepted as files are called, and as this prints them.
    let words: Vec<_> = only.iter().map(|word| word.replace('-', " ")).collect();
    let is_called = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    mutants.retain(|mutant| is_called(&mutant.name));
    ensure!(
        !mutants.is_empty(),
        "no patch in {PATCHES} has one of these names"
    );
    REDIS.ensure()?;
    let copy = Copy::make()?;

    println!("unchanged");
    let all: BTreeSet<_> = mutants.iter().flat_map(|mutant| &mutant.tests).collect();
    let failed = copy.failed(all)?;
    let names: Vec<_> = failed.iter().map(ToString::to_string).collect();
    ensure!(
        failed.is_empty(),
        "fails without a patch: {}",
        names.join(", ")
    );
    let mut survivors = Vec::new();
    for mutant in mutants {
        println!("broken: {}", mutant.name);
        copy.apply(&mutant.patch)?;
        // One that does not compile any more must not hide what the others show.
        let failed = copy.failed(&mutant.tests).unwrap_or_else(|error| {
            println!("{error:#}");
            Vec::new()
        });
        for test in &mutant.tests {
            let is_red = failed.contains(&test);
            println!("  {} {test}", if is_red { "red  " } else { "GREEN" });
        }
        if failed.len() < mutant.tests.len() {
            survivors.push(mutant.name);
        }
    }
    copy.restore()?;
    ensure!(
        survivors.is_empty(),
        "not all tests failed for: {}",
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
    ensure!(idle.is_none(), "names no test: {idle:?}");
    Ok(mutants)
}

fn tests_of(patch: &str) -> Vec<Test> {
    let lines = patch.lines().take_while(|line| !line.starts_with("diff "));
    let tests = lines.filter_map(|line| line.strip_prefix(TEST));
    tests.map(Test::from).collect()
}

impl From<&str> for Test {
    fn from(line: &str) -> Self {
        let (binary, name) = match line.trim().split_once(' ') {
            None => (Binary::Usual, line),
            Some((binary, name)) => (Binary::from(binary), name),
        };
        let name = name.trim().to_owned();
        Self { binary, name }
    }
}

impl From<&str> for Binary {
    fn from(id: &str) -> Self {
        let package = |name: &str| name.to_owned();
        match id.split_once("::") {
            None => Self::Library {
                package: package(id),
            },
            Some((name, rest)) => match rest.strip_prefix("bin/") {
                Some(program) => Self::Program {
                    package: package(name),
                    program: program.to_owned(),
                },
                None => Self::Integration {
                    package: package(name),
                    file: rest.to_owned(),
                },
            },
        }
    }
}

impl Binary {
    /// Returns the arguments with which cargo builds and runs it.
    fn arguments(&self) -> Vec<&str> {
        match self {
            Self::Usual => vec!["--test", "tests"],
            Self::Library { package } => vec!["--package", package, "--lib"],
            Self::Program { package, program } => vec!["--package", package, "--bin", program],
            Self::Integration { package, file } => vec!["--package", package, "--test", file],
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.binary {
            Binary::Usual => write!(f, "{name}"),
            Binary::Library { package } => write!(f, "{package} {name}"),
            Binary::Program { package, program } => write!(f, "{package}::bin/{program} {name}"),
            Binary::Integration { package, file } => write!(f, "{package}::{file} {name}"),
        }
    }
}

/// A copy of the repository, to apply patches to.
struct Copy {
    root: PathBuf,
    builds: PathBuf,
}

impl Copy {
    /// Copies the working tree, without files that git does not track.
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
    fn failed<'a>(&self, tests: impl IntoIterator<Item = &'a Test>) -> Result<Vec<&'a Test>> {
        let mut binaries: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for test in tests {
            binaries.entry(&test.binary).or_default().push(test);
        }
        let mut failed = Vec::new();
        for (binary, tests) in binaries {
            failed.extend(self.failed_of(binary, &tests)?);
        }
        Ok(failed)
    }

    fn failed_of<'a>(&self, binary: &Binary, tests: &[&'a Test]) -> Result<Vec<&'a Test>> {
        let printed = self.tests(binary, tests)?.printed()?;
        let ended = |test: &Test, how: &str| {
            let line = format!("test {} ... {how}", test.name);
            printed.lines().any(|printed| printed == line)
        };
        for test in tests {
            let has_run = ended(test, "ok") || ended(test, "FAILED");
            ensure!(has_run, "{test} did not run:\n{printed}");
        }
        let failed = tests.iter().filter(|test| ended(test, "FAILED"));
        Ok(failed.copied().collect())
    }

    fn tests(&self, binary: &Binary, tests: &[&Test]) -> Result<Tool> {
        let manifest = self.root.join("Cargo.toml");
        Ok(cargo("test")
            .args(["--locked", "--package", PROMISES, "--no-fail-fast"])
            .args(binary.arguments())
            .args(["--manifest-path", text(&manifest)?])
            .args(["--target-dir", text(&self.builds)?])
            .args(["--", "--exact"])
            .args(tests.iter().map(|test| &test.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_patch_applies_and_names_its_tests() {
        let mutants = mutants().unwrap();

        assert!(mutants.len() >= 5);
        for Mutant { patch, tests, .. } in mutants {
            let check = tool("git").args(["apply", "--check", text(&patch).unwrap()]);
            check.output().unwrap();
            for test in tests {
                assert!(is_defined(&test), "{}: {test:?}", patch.display());
            }
        }
    }

    /// Returns whether the sources of the binary have a function of the test's name.
    fn is_defined(test: &Test) -> bool {
        let folder = match &test.binary {
            Binary::Usual => "tests".to_owned(),
            Binary::Library { package } | Binary::Program { package, .. } => {
                format!("crates/{package}/src")
            }
            Binary::Integration { package, .. } => format!("crates/{package}/tests"),
        };
        let name = test.name.rsplit("::").next().unwrap();
        let search = tool("git").args(["grep", "--quiet", "--word-regexp", name, "--", &folder]);
        search.output().is_ok()
    }

    #[test]
    fn tests_are_named_before_the_patch() {
        let patch = "Why.\ntest: faults::one\ntest: faults::two\ndiff --git\ntest: no\n";
        let names = tests_of(patch).into_iter().map(|test| test.name);
        assert!(names.eq(["faults::one", "faults::two"]));
    }

    #[test]
    fn a_test_of_any_package_is_named_as_nextest_prints_it() {
        let cargo_is_told = |line: &str| Test::from(line).binary.arguments().join(" ");

        assert_eq!(cargo_is_told("faults::loss::one"), "--test tests");
        assert_eq!(
            cargo_is_told("tidings sequence::tests::one"),
            "--package tidings --lib"
        );
        assert_eq!(
            cargo_is_told("tidings-codec::codec hostile::one"),
            "--package tidings-codec --test codec"
        );
        assert_eq!(
            cargo_is_told("xtask::bin/xtask broken::tests::one"),
            "--package xtask --bin xtask"
        );
        for line in ["faults::one", "tidings a::one", "xtask::bin/xtask a::one"] {
            assert_eq!(Test::from(line).to_string(), line);
        }
    }
}
