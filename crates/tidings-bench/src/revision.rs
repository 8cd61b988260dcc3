//! Another revision of this repository, and its benchmark program.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail, ensure};
use tokio::process::Command;

use crate::process::Program;

/// The folder of builds of other revisions. It is kept, so that the next build is faster.
const BUILDS: &str = "target/against";

/// A commit, and the name by which it was found.
#[derive(Debug)]
pub(crate) struct Revision {
    name: String,
    commit: String,
}

impl Revision {
    /// Finds a commit by its hash, or by the name of a branch or a tag.
    pub(crate) async fn find(name: &str) -> anyhow::Result<Self> {
        let commit = format!("{name}^{{commit}}");
        let mut find = git([
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &commit,
        ]);
        let Ok(commit) = output(&mut find).await else {
            bail!(
                "cannot find the revision `{name}`: name a commit, a branch or a tag. To measure changes \
                 that are not committed, compare them with `HEAD`"
            );
        };
        let name = name.to_owned();
        Ok(Self { name, commit })
    }

    /// Returns this benchmark program and that of the revision, built by the same compiler.
    pub(crate) async fn programs(&self) -> anyhow::Result<[Program; 2]> {
        let compiler = output(Command::new("rustc").arg("--version")).await?;
        let builds = repository().join(BUILDS);
        let program = builds.join(file_name(&self.commit, &compiler));
        if !program.exists() {
            let built = self.build_in(&builds).await;
            let built = built.with_context(|| format!("cannot build the benchmark of {self}"))?;
            fs::copy(built, &program)?;
        }
        // Copies: their files are alike in the page cache, which counts as memory of a process, and a
        // build replaces neither.
        let now = copy(&std::env::current_exe()?, builds.join("now"))?;
        Ok([now, copy(&program, builds.join("then"))?])
    }

    /// Builds in a worktree, which is removed afterwards, and returns the path of the program.
    async fn build_in(&self, builds: &Path) -> anyhow::Result<PathBuf> {
        fs::create_dir_all(builds)?;
        let lock = File::create(builds.join("lock"))?;
        lock.try_lock().context("another build is running")?;
        let worktree = Worktree::add(builds.join("worktree"), &self.commit).await?;
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo
            .args([
                "build",
                "--release",
                "--locked",
                "--package",
                "tidings-bench",
            ])
            .arg("--target-dir")
            .arg(builds)
            .current_dir(&worktree.0)
            .kill_on_drop(true);
        if cfg!(feature = "peers") {
            cargo.args(["--features", "peers"]);
        }
        let status = cargo.status().await?;
        ensure!(status.success(), "cargo ended with {status}");
        Ok(builds.join("release/tidings-bench"))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:.10})", self.name, self.commit)
    }
}

fn copy(program: &Path, to: PathBuf) -> anyhow::Result<Program> {
    // The old copy may still run.
    let _ = fs::remove_file(&to);
    fs::copy(program, &to)?;
    Ok(Program(vec![to.into()]))
}

/// The file of a program: one for each commit, compiler, and set of features.
fn file_name(commit: &str, compiler: &str) -> String {
    let version = compiler.split_whitespace().nth(1).unwrap_or("unknown");
    let peers = if cfg!(feature = "peers") {
        "-peers"
    } else {
        ""
    };
    format!("tidings-bench-{commit}-{version}{peers}")
}

/// A worktree with a commit. It is removed when this is dropped.
struct Worktree(PathBuf);

impl Worktree {
    async fn add(path: PathBuf, commit: &str) -> anyhow::Result<Self> {
        // Removes first what a killed process left.
        let worktree = Self(path);
        worktree.remove();
        let mut add = git([
            "-c",
            "core.hooksPath=/dev/null",
            "worktree",
            "add",
            "--quiet",
        ]);
        output(
            add.args(["--force", "--detach"])
                .arg(&worktree.0)
                .arg(commit),
        )
        .await?;
        Ok(worktree)
    }

    fn remove(&self) {
        let mut remove = git(["worktree", "remove", "--force"]);
        let remove = remove.arg(&self.0).stderr(Stdio::null());
        // Without a worktree, there is nothing to remove.
        let _ = remove.as_std_mut().status();
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        self.remove();
    }
}

fn git<const COUNT: usize>(arguments: [&str; COUNT]) -> Command {
    let mut git = Command::new("git");
    git.args(arguments).current_dir(repository());
    git
}

/// Runs a program, and returns what it prints, without the end of the line.
async fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.as_std().get_program().display().to_string();
    let output = command.stderr(Stdio::inherit()).output().await;
    let output = output.with_context(|| format!("cannot run {name}"))?;
    ensure!(
        output.status.success(),
        "{name} ended with {}",
        output.status
    );
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

fn repository() -> &'static Path {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    crates
        .and_then(Path::parent)
        .expect("this crate is in `crates`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_built_again_for_another_commit_or_compiler() {
        let one = file_name("a1", "rustc 1.95.0 (f1 2026-04-14)");
        assert_ne!(one, file_name("b2", "rustc 1.95.0 (f1 2026-04-14)"));
        assert_ne!(one, file_name("a1", "rustc 1.96.0 (e2 2026-05-28)"));
    }

    #[tokio::test]
    async fn an_unknown_revision_is_an_error_that_says_what_to_name() {
        for name in ["no-such-branch", "--all", ""] {
            let error = Revision::find(name).await.unwrap_err().to_string();
            assert!(
                error.contains("name a commit, a branch or a tag"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_worktree_has_the_commit_and_is_gone_when_it_is_dropped() {
        let folder = std::env::temp_dir().join(format!("tidings-worktree-{}", std::process::id()));
        let head = Revision::find("HEAD").await.unwrap();
        let worktree = Worktree::add(folder.clone(), &head.commit).await.unwrap();
        assert!(folder.join("Cargo.toml").exists());
        drop(worktree);
        assert!(!folder.exists());
        let list = output(&mut git(["worktree", "list"])).await.unwrap();
        assert!(!list.contains("tidings-worktree"), "{list}");
    }
}
