//! Reads contracts: from a file, or from another revision of it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::commands::schema::git::{Git, Revision};
use crate::contract::{Contract, NotRead, TooComplex};
use crate::exit::Problem;
use crate::settings;
use crate::terminal::escape;

/// The file of the contract, unless the project or an argument names another one.
const FILE: &str = "contract/events.json";

/// The maximum size of the file.
const MAX_BYTES: u64 = 64 << 20;

/// A contract, and what it was read from.
#[derive(Debug)]
pub(crate) struct Read {
    /// As it is shown.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) contract: Contract,
}

/// Returns the file of the contract: the argument, that of the project, or the usual one.
pub(super) fn path_of(file: Option<&Path>) -> Result<PathBuf, Problem> {
    if let Some(file) = file {
        return Ok(file.to_owned());
    }
    Ok(settings::contract()?.file.unwrap_or_else(|| FILE.into()))
}

/// Reads the contract of the working tree.
pub(super) fn read(path: &Path) -> Result<Read, Problem> {
    let name = escape(path.display());
    let cannot =
        |why: &dyn std::fmt::Display| Problem::failed(format!("cannot read {name}: {why}"));
    let size = fs::metadata(path).map(|it| it.len());
    let text = match size {
        Ok(size) if size > MAX_BYTES => return Err(cannot(&"it is larger than 64 MiB")),
        Ok(_) => fs::read_to_string(path),
        Err(error) => Err(error),
    };
    let text = text.map_err(|error| match error.kind() {
        ErrorKind::NotFound => cannot(&"there is no such file").help(
            "a test writes it: `tidings_testkit::contract!(\"contract/events.json\")`, run with UPDATE=1",
        ),
        _ => cannot(&error),
    })?;
    let read = parse(name, text)?;
    if !read.contract.is_as_written {
        let text = format!(
            "{} was edited by hand or merged: its hash is not that of its content",
            read.name
        );
        return Err(Problem::failed(text).help("write it again: UPDATE=1 cargo test"));
    }
    Ok(read)
}

/// Reads the contract of a revision. `None` if it has none.
pub(super) fn read_revision(
    git: Git<'_>,
    revision: &Revision,
    path: Option<&str>,
) -> Result<Option<Read>, Problem> {
    let text = git.show(revision, path)?;
    text.map(|text| parse(revision.to_string(), text))
        .transpose()
}

/// Reads a revision, a file in a revision (`REV:PATH`), or a file. `None` if the revision has none.
pub(super) fn read_any(file: &Path, from: &str) -> Result<Option<Read>, Problem> {
    let as_file = Path::new(from);
    let is_file = as_file.is_file();
    let git = match Git::of(file) {
        Err(_) if is_file => return read(as_file).map(Some),
        git => git?,
    };
    if let Some(revision) = git.find(from)? {
        return read_revision(git, &revision, None);
    }
    if is_file {
        return read(as_file).map(Some);
    }
    match from.split_once(':') {
        Some((revision, path)) => read_revision(git, &git.revision(revision)?, Some(path)),
        None => git.revision(from).map(|_| None),
    }
}

/// Returns the error for two contracts of which one has schemas that take too long.
pub(crate) fn not_compared(old: &Read, new: &Read, problem: &TooComplex) -> Problem {
    let (old, new, problem) = (&old.name, &new.name, escape(problem));
    Problem::failed(format!("cannot compare {new} with {old}: {problem}"))
}

pub(super) fn parse(name: String, text: String) -> Result<Read, Problem> {
    match Contract::parse(&text) {
        Ok(contract) => Ok(Read {
            name,
            text,
            contract,
        }),
        Err(why) => {
            let problem = Problem::failed(format!("cannot read {name}: {}", escape(&why)));
            Err(match why {
                NotRead::Newer(_) => problem.help("update this program: cargo install tidings-cli"),
                NotRead::Invalid(_) => problem.help("write it again: UPDATE=1 cargo test"),
            })
        }
    }
}
