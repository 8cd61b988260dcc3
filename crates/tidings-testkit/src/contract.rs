//! `contract!`: a test that the file with the contract of a program is up to date.

mod difference;

use std::path::Path;
use std::{env, fs, io};

use serde_json::{Map, Value, json};

use self::difference::differences;

/// The variable that makes the test write the file.
const UPDATE: &str = "UPDATE";

/// The version of the format that this crate reads and writes.
const FORMAT: u64 = 1;

/// Compares the contract of this program, [`tidings::contract()`], with a file, and fails if they
/// differ. With the environment variable `UPDATE=1` it writes the file instead.
///
/// The path is relative to the crate that calls it. Commit the file: its history is the history of the
/// contract, and `tidings schema check` compares it with other revisions. Comments and other
/// annotations in the file are not compared.
///
/// ```no_run
/// // in a test of your crate: tests/contract.rs
/// # /*
/// use shop as _; // links the crate, if the test names nothing else of it
///
/// #[test]
/// fn the_contract_is_up_to_date() {
/// # */
///     tidings_testkit::contract!("contract/events.json");
/// # /*
/// }
/// # */
/// ```
///
/// # Panics
///
/// When the file is missing, cannot be read or differs, and when the program has no contract: see
/// [`tidings::contract()`].
#[macro_export]
macro_rules! contract {
    ($path:expr $(,)?) => {
        $crate::check_contract(
            &$crate::Package {
                name: ::core::env!("CARGO_PKG_NAME"),
                root: ::core::env!("CARGO_MANIFEST_DIR"),
                repository: ::core::env!("CARGO_PKG_REPOSITORY"),
                license: ::core::env!("CARGO_PKG_LICENSE"),
            },
            ::core::convert::AsRef::<::std::path::Path>::as_ref(&$path),
        )
    };
}

/// The package whose test calls [`contract!`].
#[derive(Debug)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// Its directory.
    pub root: &'static str,
    /// Its repository, or nothing.
    pub repository: &'static str,
    /// Its license, or nothing.
    pub license: &'static str,
}

/// Compares the contract of this program with a file, or writes it.
///
/// # Panics
///
/// As [`contract!`].
#[track_caller]
pub fn check_contract(package: &Package, path: &Path) {
    let contract = match tidings::contract() {
        Ok(contract) => contract.to_string(),
        Err(error) => panic!("{error}"),
    };
    let update = env::var_os(UPDATE).is_some_and(|value| value == "1");
    if let Err(fault) = check(package, path, &contract, update) {
        panic!("{fault}");
    }
}

/// Returns what is wrong with the file.
fn check(package: &Package, path: &Path, contract: &str, update: bool) -> Result<(), String> {
    let shown = path.display();
    let file = Path::new(package.root).join(path);
    let code = with_package(contract, package)?;
    let is_part_empty = |part: &str| code[part].as_object().is_none_or(Map::is_empty);
    if ["events", "values", "maps", "counters"]
        .iter()
        .all(|part| is_part_empty(part))
    {
        return Err(
            "the contract of this test is empty: nothing that it links declares an event. Name the \
             crate with the events, such as `use shop as _;`"
                .to_owned(),
        );
    }
    let old = match fs::read_to_string(&file) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(format!("cannot read {shown}: {error}")),
    };
    let update_with = format!("{UPDATE}=1 cargo test -p {}", package.name);
    let problem = match &old {
        None => Some(format!(
            "{shown} is not there. To write it, run: {update_with}"
        )),
        Some(old) => compare(old, &code, &shown.to_string(), &update_with)?,
    };
    match problem {
        Some(problem) if !update => Err(problem),
        _ if !update => Ok(()),
        _ => write(&file, old.as_deref(), &format!("{code:#}\n"))
            .map_err(|error| format!("cannot write {shown}: {error}")),
    }
}

/// Returns the contract with the package, and all keys sorted.
fn with_package(contract: &str, package: &Package) -> Result<Value, String> {
    let contract = serde_json::from_str(contract);
    let mut contract: Value =
        contract.map_err(|error| format!("cannot read the contract: {error}"))?;
    let about = [
        ("name", package.name),
        ("repository", package.repository),
        ("license", package.license),
    ];
    let about = about.into_iter().filter(|(_, value)| !value.is_empty());
    let about: Map<String, Value> = about
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    contract["package"] = about.into();
    contract.sort_all_objects();
    Ok(contract)
}

/// Returns how the file differs from the code, if it does.
///
/// # Errors
///
/// If the file was written by a newer version.
fn compare(
    old: &str,
    code: &Value,
    shown: &str,
    update_with: &str,
) -> Result<Option<String>, String> {
    let old = match serde_json::from_str::<Map<String, Value>>(old) {
        Ok(old) => Value::Object(old),
        Err(error) => {
            return Ok(Some(format!(
                "cannot read {shown}: {error}. After a merge conflict, write it again: {update_with}"
            )));
        }
    };
    match old["tidings"].as_u64() {
        Some(format) if format > FORMAT => {
            return Err(format!(
                "{shown} has format {format}, and this version of tidings writes format {FORMAT}: update \
                 tidings in this crate"
            ));
        }
        _ => {}
    }
    let differences = differences(&compared(&old), &compared(code));
    if differences.is_empty() {
        return Ok(None);
    }
    let differences = differences.join("\n  ");
    Ok(Some(format!(
        "{shown} differs from the contract of the code (- file, + code):\n  {differences}\nIf the \
         code is right, run: {update_with}\nThen `tidings schema check` says what the change means \
         for processes of other versions."
    )))
}

/// Returns what is compared.
fn compared(contract: &Value) -> Value {
    let mut compared = contract.clone();
    if let Some(parts) = compared.as_object_mut() {
        parts.retain(|part, _| part != "annotations" && part != "package");
    }
    if compared["tidings"].is_null() {
        compared["tidings"] = json!(0);
    }
    compared
}

/// Writes the file if it differs.
fn write(file: &Path, old: Option<&str>, new: &str) -> io::Result<()> {
    if old == Some(new) {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGE: Package = Package {
        name: "shop",
        root: "/",
        repository: "",
        license: "MIT",
    };

    fn contract(event: &Value) -> String {
        json!({"tidings": 1, "hash": "0", "events": event}).to_string()
    }

    fn tick(kind: &str) -> Value {
        json!({"clock.tick": {"both": {"type": kind}, "handled_by": ["tick"]}})
    }

    #[test]
    fn a_file_is_written_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contract/events.json");
        let contract = contract(&tick("string"));
        let missing = check(&PACKAGE, &path, &contract, false).unwrap_err();
        assert!(
            missing.ends_with("To write it, run: UPDATE=1 cargo test -p shop"),
            "{missing}"
        );
        check(&PACKAGE, &path, &contract, true).unwrap();
        check(&PACKAGE, &path, &contract, false).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("}\n"), "{text}");
        let file: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(file["package"], json!({"name": "shop", "license": "MIT"}));
    }

    #[test]
    fn a_difference_is_shown_in_a_few_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.json");
        let mut old = tick("string");
        old["clock.tock"] = json!({});
        check(&PACKAGE, &path, &contract(&old), true).unwrap();
        let mut new = tick("integer");
        new["clock.stop"] = json!({});
        let fault = check(&PACKAGE, &path, &contract(&new), false).unwrap_err();
        let lines: Vec<&str> = fault.lines().collect();
        let expected = [
            "  + event `clock.stop`",
            "  ~ event `clock.tick` both type: - \"string\" + \"integer\"",
            "  - event `clock.tock`",
            "If the code is right, run: UPDATE=1 cargo test -p shop",
        ];
        assert_eq!(lines[1..5], expected, "{fault}");
        let many: Map<String, Value> = (0..50).map(|at| (format!("e.{at}"), json!({}))).collect();
        let fault = check(&PACKAGE, &path, &contract(&many.into()), false).unwrap_err();
        assert_eq!(fault.lines().count(), 16, "{fault}");
        assert!(fault.contains("… and 40 more"), "{fault}");
    }

    #[test]
    fn a_changed_comment_is_no_difference() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.json");
        let with_comment = |comment: &str| {
            let annotations = json!({"events.clock.tick": {"": {"description": comment}}});
            let events = tick("string");
            json!({"tidings": 1, "hash": "0", "events": events, "annotations": annotations})
                .to_string()
        };
        check(&PACKAGE, &path, &with_comment("A tick."), true).unwrap();
        check(
            &PACKAGE,
            &path,
            &with_comment("A tick of the clock."),
            false,
        )
        .unwrap();
        check(&PACKAGE, &path, &contract(&tick("string")), false).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_compared_is_an_error_that_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.json");
        let contract = contract(&tick("string"));
        let fault = |text: &str, update| {
            fs::write(&path, text).unwrap();
            check(&PACKAGE, &path, &contract, update).unwrap_err()
        };
        let merged = fault("{<<<<<<< HEAD", false);
        assert!(
            merged.contains("After a merge conflict, write it again"),
            "{merged}"
        );
        for text in ["", "[]", "7", "null", r#""events""#] {
            let other = fault(text, false);
            assert!(other.starts_with("cannot read"), "{text}: {other}");
            check(&PACKAGE, &path, &contract, true).unwrap();
            check(&PACKAGE, &path, &contract, false).unwrap();
        }
        for update in [false, true] {
            let newer = fault(r#"{"tidings": 2, "events": {}}"#, update);
            assert!(newer.contains("has format 2"), "{newer}");
        }
        let empty = check(&PACKAGE, &path, r#"{"tidings": 1, "events": {}}"#, true).unwrap_err();
        assert!(empty.contains("use shop as _;"), "{empty}");
    }
}
