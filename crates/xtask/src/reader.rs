//! Prepares what a reader of part one has: a folder with the crates as they are published.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::tool::{ORDINARY, cargo, repository, text, tool};

/// The crates that part one uses, with those that they and their tests need.
const CRATES: [&str; 6] = [
    "tidings-codec",
    "tidings-macros",
    "tidings-supervisor",
    "tidings",
    "tidings-testkit",
    "tidings-cli",
];

/// The test that does what the pages say.
const TEST: &str = "a_reader_with_nothing_but_the_rendered_pages_gets_through_part_one";

/// Does what part one of the rendered book says in an empty folder, with packaged crates.
pub(crate) fn look() -> Result<()> {
    let folder = folder();
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    unpack_crates(&folder)?;
    let test = cargo("test")
        .args(ORDINARY)
        .args(["--locked", "--test=cli"]);
    let test = test.args(["--", "--ignored", "--nocapture", TEST]);
    let done = test.succeed();
    fs::remove_dir_all(folder)?;
    done
}

/// The folder that the test uses. It is not in the repository, whose workspace would take the new
/// package in.
fn folder() -> PathBuf {
    std::env::temp_dir().join("tidings-reader")
}

/// Packages the crates, and unpacks them where a clone of the repository would have them.
fn unpack_crates(folder: &Path) -> Result<()> {
    let crates = folder.join("tidings/crates");
    fs::create_dir_all(&crates)?;
    let packages = CRATES.iter().flat_map(|name| ["--package", name]);
    let package = cargo("package").args(["--locked", "--no-verify", "--allow-dirty"]);
    package.args(packages).succeed()?;
    let mut patches = "[patch.crates-io]\n".to_owned();
    for name in CRATES {
        let version = env!("CARGO_PKG_VERSION");
        let archive = repository().join(format!("target/package/{name}-{version}.crate"));
        let unpacked = crates.join(name);
        fs::create_dir_all(&unpacked)?;
        let tar = tool("tar").args(["--extract", "--gzip", "--strip-components=1", "--file"]);
        tar.args([text(&archive)?, "--directory", text(&unpacked)?])
            .succeed()?;
        if name != "tidings-cli" {
            let path = text(&unpacked)?;
            writeln!(patches, "{name} = {{ path = \"{path}\" }}")?;
        }
    }
    // Until they are published, one packaged crate finds the others so.
    fs::create_dir_all(folder.join(".cargo"))?;
    Ok(fs::write(folder.join(".cargo/config.toml"), patches)?)
}
