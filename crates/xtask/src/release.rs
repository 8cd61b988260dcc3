//! `cargo xtask release`: what `cargo publish` would upload, and the public API.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use toml::{Table, Value};

use crate::public_api::{self, LIBRARIES};
use crate::steps::{Step, run_only};
use crate::tool::{cargo, target};

/// The published package that is no library.
const PROGRAM: &str = "tidings-cli";

/// What the manifest of each package has. Its public addresses come with the first release.
const FIELDS: [&str; 7] = [
    "categories",
    "description",
    "edition",
    "keywords",
    "license",
    "readme",
    "rust-version",
];

/// The files that each package has.
const FILES: [&str; 3] = ["README.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// The largest file of a package and the largest package, in bytes.
const LARGEST_FILE: u64 = 100_000;
const LARGEST_PACKAGE: u64 = 2_500_000;

/// Runs the steps whose name contains one of these words; all steps if there is none.
pub(crate) fn run(only: &[String]) -> Result<()> {
    let publish = cargo("publish").args(["--workspace", "--dry-run", "--locked"]);
    let publish = publish.env("CARGO_PROFILE_DEV_DEBUG", "false");
    let steps = vec![
        Step::new("packages build by themselves", publish),
        Step::look("contents of the packages", look_at_packages),
        Step::look("public API", public_api::look),
    ];
    run_only(steps, only)
}

fn look_at_packages() -> Result<()> {
    let mut problems = Vec::new();
    for name in LIBRARIES.iter().chain([&PROGRAM]) {
        // Cargo unpacks each package that it has built.
        let version = env!("CARGO_PKG_VERSION");
        let unpacked = target().join(format!("package/{name}-{version}"));
        let manifest = fs::read_to_string(unpacked.join("Cargo.toml"))
            .with_context(|| format!("{name} is not packaged"))?;
        let mut files = Vec::new();
        collect(&unpacked, &mut files)?;
        let found = problems_of(&manifest.parse()?, &files);
        problems.extend(found.into_iter().map(|problem| format!("{name} {problem}")));
        let size: u64 = files.iter().map(|(_, size)| size).sum();
        println!("{name}: {} files, {size} bytes", files.len());
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

/// Adds the files of a folder, with their sizes.
fn collect(folder: &Path, files: &mut Vec<(PathBuf, u64)>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(())
}

fn problems_of(manifest: &Table, files: &[(PathBuf, u64)]) -> Vec<String> {
    let mut problems = Vec::new();
    let package = manifest.get("package").and_then(Value::as_table);
    let is_filled = |field: &&str| match package.and_then(|package| package.get(*field)) {
        Some(Value::Array(values)) => !values.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        _ => false,
    };
    let lacking = FIELDS.iter().filter(|field| !is_filled(field));
    problems.extend(lacking.map(|field| format!("has no `{field}`")));
    let has_features = manifest.get("features").and_then(Value::as_table);
    let has_features = has_features.is_some_and(|features| !features.is_empty());
    let docs = package.and_then(|package| package.get("metadata")?.get("docs")?.get("rs"));
    let shows_all = docs.and_then(|docs| docs.get("all-features")?.as_bool()) == Some(true);
    if has_features && !shows_all {
        problems.push("has features that docs.rs would not show".to_owned());
    }
    let has = |name: &&str| files.iter().any(|(path, _)| path.ends_with(name));
    let lacking = FILES.iter().filter(|name| !has(name));
    problems.extend(lacking.map(|name| format!("has no {name}")));
    let large = files.iter().filter(|(_, size)| *size > LARGEST_FILE);
    problems.extend(large.map(|(path, size)| format!("has {}: {size} bytes", path.display())));
    let size: u64 = files.iter().map(|(_, size)| size).sum();
    if size > LARGEST_PACKAGE {
        problems.push(format!("has {size} bytes"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        [package]
        categories = ["asynchronous"]
        description = "a"
        edition = "2024"
        keywords = ["redis"]
        license = "MIT"
        readme = "README.md"
        rust-version = "1.95"
        [package.metadata.docs.rs]
        all-features = true
        [features]
        tls = []
    "#;

    fn problems(manifest: &str, files: &[(&str, u64)]) -> Vec<String> {
        let files: Vec<_> = files
            .iter()
            .map(|(path, size)| (path.into(), *size))
            .collect();
        problems_of(&manifest.parse().unwrap(), &files)
    }

    #[test]
    fn each_problem_of_a_package_is_found() {
        let files = FILES.map(|name| (name, 1_000));
        assert_eq!(problems(MANIFEST, &files), [""; 0]);

        for (right, wrong, problem) in [
            ("[\"redis\"]", "[]", "has no `keywords`"),
            ("license =", "a =", "has no `license`"),
            (
                "= true",
                "= false",
                "has features that docs.rs would not show",
            ),
        ] {
            assert_eq!(problems(&MANIFEST.replace(right, wrong), &files), [problem]);
        }
        assert_eq!(problems(MANIFEST, &files[1..]), ["has no README.md"]);
        let large = [&files[..], &[("book.png", 200_000)]].concat();
        assert_eq!(problems(MANIFEST, &large), ["has book.png: 200000 bytes"]);
        let many = [&files[..], &[("a.rs", 90_000); 30]].concat();
        assert_eq!(problems(MANIFEST, &many), ["has 2703000 bytes"]);
    }
}
