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

/// The fields that the manifest of each package must have. Its public addresses come with the first release.
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
    // So that the second step sees no packages of an earlier run.
    for package in unpacked()? {
        fs::remove_dir_all(&package).with_context(|| package.display().to_string())?;
    }
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
    let packages = unpacked()?;
    let built = packages.iter().filter_map(|path| name_of(path));
    problems.extend(differences(&built.collect::<Vec<_>>()));
    for package in &packages {
        let name = name_of(package).unwrap_or_default();
        let manifest = fs::read_to_string(package.join("Cargo.toml"))?;
        let mut files = Vec::new();
        collect(package, Path::new(""), &mut files)?;
        let found = problems_of(&manifest.parse()?, &files);
        problems.extend(found.into_iter().map(|problem| format!("{name} {problem}")));
        let size: u64 = files.iter().map(|(_, size)| size).sum();
        println!("{name}: {} files, {size} bytes", files.len());
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

/// Returns the folders into which cargo unpacked the packages that it built.
fn unpacked() -> Result<Vec<PathBuf>> {
    let folder = target().join("package");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut packages = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && name_of(&path).is_some() {
            packages.push(path);
        }
    }
    packages.sort();
    Ok(packages)
}

/// Returns the name of a package, from its folder `NAME-VERSION`.
fn name_of(folder: &Path) -> Option<&str> {
    let name = folder.file_name()?.to_str()?;
    name.strip_suffix(env!("CARGO_PKG_VERSION"))?
        .strip_suffix('-')
}

/// Compares the packages that cargo built with those that are meant to be published.
fn differences(built: &[&str]) -> Vec<String> {
    let meant: Vec<_> = LIBRARIES.iter().copied().chain([PROGRAM]).collect();
    let lacking = meant.iter().filter(|name| !built.contains(name));
    let unknown = built.iter().filter(|name| !meant.contains(name));
    lacking
        .map(|name| format!("{name} was not packaged in this run"))
        .chain(unknown.map(|name| {
            format!("{name} would be published: `publish = false`, or a check of its API")
        }))
        .collect()
}

/// Adds the files of a folder, with their paths in the package and their sizes.
fn collect(package: &Path, folder: &Path, files: &mut Vec<(PathBuf, u64)>) -> Result<()> {
    for entry in fs::read_dir(package.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(package, &path, files)?;
        } else {
            files.push((path, entry.metadata()?.len()));
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
    let has = |name: &&str| files.iter().any(|(path, _)| path == Path::new(name));
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
        let deeper = [&files[1..], &[("tests/README.md", 1_000)]].concat();
        assert_eq!(problems(MANIFEST, &deeper), ["has no README.md"]);
        let large = [&files[..], &[("book.png", 200_000)]].concat();
        assert_eq!(problems(MANIFEST, &large), ["has book.png: 200000 bytes"]);
        let many = [&files[..], &[("a.rs", 90_000); 30]].concat();
        assert_eq!(problems(MANIFEST, &many), ["has 2703000 bytes"]);
    }

    #[test]
    fn a_package_that_nobody_meant_to_publish_and_one_that_is_missing_are_found() {
        let meant: Vec<_> = LIBRARIES.iter().copied().chain([PROGRAM]).collect();
        assert_eq!(differences(&meant), [""; 0]);

        let built = [&meant[1..], &["tidings-bench"]].concat();
        assert_eq!(
            differences(&built),
            [
                "tidings-codec was not packaged in this run",
                "tidings-bench would be published: `publish = false`, or a check of its API"
            ]
        );
        let folder = format!("package/tidings-codec-{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(name_of(Path::new(&folder)), Some("tidings-codec"));
        assert_eq!(name_of(Path::new("package/tmp-registry")), None);
    }
}
