//! `cargo xtask dist`: the release archive of the program `tidings`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::tool::{ORDINARY, cargo, repository, target, text, tool};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The files of the repository that are in the archive.
const TEXTS: [&str; 4] = [
    "crates/tidings-cli/README.md",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
];

/// The shells, and the names that they give to files of completions.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "tidings.bash"),
    ("elvish", "tidings.elv"),
    ("fish", "tidings.fish"),
    ("powershell", "_tidings.ps1"),
    ("zsh", "_tidings"),
];

/// Builds the program, packs it with its manual pages and completions, and checks the archive.
pub(crate) fn run() -> Result<()> {
    let build = cargo("build").args(["--release", "--locked", "--package", "tidings-cli"]);
    // Without it, half of the archive is line numbers of the dependencies.
    build
        .args(["--config", "profile.release.strip=\"debuginfo\""])
        .succeed()?;
    make("release/tidings", "dist")
}

/// Does the same with the program that the tests have built, which takes a second.
pub(crate) fn try_out() -> Result<()> {
    let build = cargo("build").args(ORDINARY);
    build.args(["--locked", "--bin", "tidings"]).succeed()?;
    make("debug/tidings", "dist-tried-out")
}

fn make(program: &str, parent: &str) -> Result<()> {
    let folder = target()
        .join(parent)
        .join(format!("tidings-{VERSION}-{}", host()?));
    fill(&folder, &target().join(program))?;
    let archive = pack(&folder)?;
    check(&archive)?;
    let listed = tool("tar").args(["--list", "--verbose", "--numeric-owner", "--file"]);
    print!("{}", listed.args([text(&archive)?]).output()?);
    print!("{}", tool("sha256sum").args([text(&archive)?]).output()?);
    Ok(())
}

/// Creates the folder that is packed.
fn fill(folder: &Path, built: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let completions = folder.join("completions");
    fs::create_dir_all(&completions)?;
    let program = folder.join("tidings");
    copy(built, &program)?;
    for path in TEXTS {
        let from = repository().join(path);
        copy(&from, &folder.join(from.file_name().unwrap_or_default()))?;
    }
    let tidings = || tool("tidings").at(&program);
    for (shell, file) in COMPLETIONS {
        let script = tidings().args(["completions", shell]).output()?;
        fs::write(completions.join(file), script)?;
    }
    let man = folder.join("man/man1");
    tidings().args(["man", text(&man)?, "--quiet"]).succeed()
}

/// Packs a folder: the same files are the same archive, at any time and on any machine.
fn pack(folder: &Path) -> Result<PathBuf> {
    let name = folder.file_name().context("the folder has a name")?;
    let parent = folder.parent().context("the folder is in another one")?;
    let mut archive = folder.as_os_str().to_owned();
    archive.push(".tar.gz");
    let archive = PathBuf::from(archive);
    let tar = tool("tar").args(["--create", "--format=ustar", "--sort=name"]);
    let tar = tar.args(["--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]);
    // Not what the umask of this machine left.
    let tar = tar.args(["--mode=u=rwX,go=rX", "--use-compress-program=gzip -9n"]);
    let tar = tar.args(["--file", text(&archive)?, "--directory", text(parent)?]);
    tar.args([text(Path::new(name))?])
        .succeed()
        .context("packing needs GNU tar and gzip")?;
    Ok(archive)
}

/// Unpacks the archive, and starts the program in it.
fn check(archive: &Path) -> Result<()> {
    let parent = archive.parent().context("the archive is in a folder")?;
    let unpacked = parent.join("unpacked");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked)?;
    }
    fs::create_dir_all(&unpacked)?;
    let tar = tool("tar").args(["--extract", "--file", text(archive)?]);
    tar.args(["--directory", text(&unpacked)?]).succeed()?;
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    let program = unpacked
        .join(name.trim_end_matches(".tar.gz"))
        .join("tidings");
    let version = tool("tidings").at(program).args(["--version"]).output()?;
    ensure!(
        version.trim() == format!("tidings {VERSION}"),
        "the program in the archive says `{}` and not {VERSION}",
        version.trim()
    );
    Ok(fs::remove_dir_all(unpacked)?)
}

/// Returns the system that the program is built for.
fn host() -> Result<String> {
    let about = tool("rustc").args(["-vV"]).output()?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = fs::copy(from, to);
    copied.with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::{Duration, SystemTime};

    use super::*;

    /// Creates a folder with a program that has a version.
    fn folder(directory: &Path, files: &[&str], version: &str, mode: u32) -> PathBuf {
        let folder = directory.join("tidings-1-host");
        fs::create_dir_all(folder.join("man")).unwrap();
        for file in files {
            let path = folder.join(file);
            fs::write(&path, format!("#!/bin/sh\necho tidings {version}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let day = SystemTime::now() - Duration::from_secs(u64::from(mode) * 86_400);
            fs::File::open(&path).unwrap().set_modified(day).unwrap();
        }
        folder
    }

    #[test]
    fn the_same_files_are_the_same_archive() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = folder(first.path(), &["tidings", "man/tidings.1"], VERSION, 0o755);
        let other = folder(second.path(), &["man/tidings.1", "tidings"], VERSION, 0o700);

        let (one, other) = (pack(&one).unwrap(), pack(&other).unwrap());

        assert_eq!(fs::read(one).unwrap(), fs::read(other).unwrap());
    }

    #[test]
    fn the_program_of_an_archive_runs_and_has_this_version() {
        let directory = tempfile::tempdir().unwrap();
        let right = pack(&folder(directory.path(), &["tidings"], VERSION, 0o755)).unwrap();
        check(&right).unwrap();
        let wrong = pack(&folder(directory.path(), &["tidings"], "0.0.0", 0o755)).unwrap();
        assert!(
            check(&wrong)
                .unwrap_err()
                .to_string()
                .contains("tidings 0.0.0")
        );
        let plain = pack(&folder(directory.path(), &["tidings"], VERSION, 0o644)).unwrap();
        assert!(check(&plain).is_err());
    }
}
