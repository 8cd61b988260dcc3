//! Compares the public API of each published library with its listing in `api/`, which a change of
//! the API has to change, too.
//!
//! `cargo public-api` lists it from the JSON of rustdoc. That is unstable: its format belongs to the
//! compiler that writes it, and the version of the tool to that format.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::install::Program;
use crate::tool::{cargo, repository, target, tool};

const LISTER: Program = Program {
    package: "cargo-public-api",
    version: "0.52.0",
    features: &[],
};

/// The compiler whose JSON it reads.
const COMPILER: &str = "1.95";

/// The libraries that are published.
pub(crate) const LIBRARIES: [&str; 5] = [
    "tidings-codec",
    "tidings-macros",
    "tidings-supervisor",
    "tidings",
    "tidings-testkit",
];

/// The folder of the listings.
const LISTINGS: &str = "api";

/// Has stable rustdoc write JSON. Set for cargo, the variable would make it compile all
/// dependencies again.
const RUSTDOC: &str = "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n";
const JSON: &str = "-Zunstable-options --output-format=json --cap-lints=allow";

/// Fails if the API of a library differs from its listing.
pub(crate) fn look() -> Result<()> {
    let mut changes = Vec::new();
    let mut count = 0;
    for (name, listed) in list()? {
        let path = listing(name);
        let kept = fs::read_to_string(&path).unwrap_or_default();
        count += listed.lines().count();
        ensure!(!listed.is_empty(), "{name} has no public items");
        let lines = differences(&kept, &listed);
        changes.extend(lines.into_iter().map(|line| format!("{name}: {line}")));
    }
    ensure!(
        changes.is_empty(),
        "{}\nthe public API has changed: `cargo xtask api --update`, and CHANGELOG.md",
        changes.join("\n")
    );
    println!("{count} public items are as listed");
    Ok(())
}

/// Writes the listings.
pub(crate) fn update() -> Result<()> {
    fs::create_dir_all(repository().join(LISTINGS))?;
    for (name, listed) in list()? {
        fs::write(listing(name), listed)?;
    }
    Ok(())
}

fn listing(library: &str) -> PathBuf {
    repository().join(LISTINGS).join(format!("{library}.txt"))
}

/// Returns the public items of each library, with all features.
fn list() -> Result<Vec<(&'static str, String)>> {
    let compiler = tool("rustc").args(["--version"]).output()?;
    ensure!(
        compiler.starts_with(&format!("rustc {COMPILER}.")),
        "the listings are of Rust {COMPILER}, and this is {compiler}"
    );
    let lister = LISTER.ensure()?;
    let rustdoc = repository().join("target/tools/rustdoc-json");
    // It is not there if the PATH has the program.
    fs::create_dir_all(rustdoc.with_file_name(""))?;
    fs::write(&rustdoc, RUSTDOC)?;
    fs::set_permissions(&rustdoc, fs::Permissions::from_mode(0o755))?;
    let packages = LIBRARIES.iter().flat_map(|name| ["--package", name]);
    let doc = cargo("doc").args([
        "--quiet",
        "--no-deps",
        "--lib",
        "--all-features",
        "--locked",
    ]);
    let doc = doc.args(packages).env("RUSTDOCFLAGS", JSON);
    doc.env("RUSTDOC", "target/tools/rustdoc-json").succeed()?;
    let list = |name: &&'static str| {
        let json = format!("doc/{}.json", name.replace('-', "_"));
        let json = target().join(json).display().to_string();
        // Without what the standard library implements for every type.
        let arguments = ["--rustdoc-json", &json, "--omit", "blanket-impls"];
        Ok((*name, guarded(&lister.clone().args(arguments).output()?)))
    };
    LIBRARIES.iter().map(list).collect()
}

/// Returns a listing without the automatic traits on which no program depends.
fn guarded(listed: &str) -> String {
    let automatic = ["Freeze for", "UnsafeUnpin for", "UnwindSafe for"];
    let lines = listed.split_inclusive('\n');
    let is_needed = |line: &&str| !automatic.iter().any(|it| line.contains(it));
    lines.filter(is_needed).collect()
}

/// Returns the lines that only one of two listings has.
fn differences(kept: &str, listed: &str) -> Vec<String> {
    let only_in = |one: &str, other: &str, sign: &str| -> Vec<String> {
        let other: Vec<_> = other.lines().collect();
        let lines = one.lines().filter(|line| !other.contains(line));
        lines.map(|line| format!("{sign} {line}")).collect()
    };
    [only_in(kept, listed, "-"), only_in(listed, kept, "+")].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_automatic_traits_only_those_that_programs_need_are_guarded() {
        let send = "impl core::marker::Send for a::B\n";
        let freeze = "impl core::marker::Freeze for a::B\n";
        assert_eq!(guarded(&format!("{send}{freeze}")), send);
    }

    #[test]
    fn removed_and_added_items_are_found() {
        let kept = "pub fn a()\npub fn b()\n";
        let listed = "pub fn a()\npub fn b(u8)\n";

        assert_eq!(differences(kept, kept), [""; 0]);
        assert_eq!(
            differences(kept, listed),
            ["- pub fn b()", "+ pub fn b(u8)"]
        );
    }
}
