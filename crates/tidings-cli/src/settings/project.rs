//! The file of a project, `tidings.toml`. It may come from others: it has no passwords and no programs.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::contract::Exception;
use crate::exit::Problem;
use crate::settings::address::Address;
use crate::settings::not_parsed;
use crate::terminal::escape;

const FILE: &str = "tidings.toml";

/// The settings of a project.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Project {
    #[serde(skip)]
    pub(crate) path: PathBuf,
    pub(crate) url: Option<Address>,
    pub(crate) context: Option<String>,
    pub(crate) namespace: Option<String>,
    /// Not parsed: most commands do not need it.
    pub(crate) contract: Option<toml::Value>,
}

/// The table `contract`. A text is the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a file or a table")]
pub(crate) struct ContractTable {
    /// The file of the contract, from the directory of the project.
    pub(crate) file: Option<PathBuf>,
    /// Breaks that are allowed.
    #[serde(default)]
    pub(crate) allow: Vec<Exception>,
}

impl Project {
    /// Reads the file of this directory, or of the nearest one above that has one.
    pub(crate) fn find(directory: &Path) -> Result<Option<Self>, Problem> {
        for directory in directory.ancestors() {
            let path = directory.join(FILE);
            match fs::read_to_string(&path) {
                Ok(text) => return Self::parse(path, &text).map(Some),
                Err(error) if is_absent(error.kind()) => {}
                Err(error) => {
                    let path = path.display();
                    return Err(Problem::usage(format!("cannot read {path}: {error}")));
                }
            }
        }
        Ok(None)
    }

    fn parse(path: PathBuf, text: &str) -> Result<Self, Problem> {
        let project: Self = toml::from_str(text).map_err(|error| {
            not_parsed(&path, text, &error).help(
                "a project's file can have `namespace`, `contract`, and `context` or `url`; passwords \
                 belong in a context of ~/.config/tidings/config.toml",
            )
        })?;
        let shown = path.display();
        let url = project.url.as_ref();
        if url.is_some_and(Address::has_credentials) {
            let text = format!("the address in {shown} has a user, a password or options");
            return Err(Problem::usage(text).help(
                "a project's file is shared: name a `context` there, and describe it in \
                 ~/.config/tidings/config.toml",
            ));
        }
        if url.is_some() && project.context.is_some() {
            let text = format!("{shown} has both `url` and `context`, and one address is used");
            return Err(Problem::usage(text).help("remove one of them"));
        }
        Ok(Self { path, ..project })
    }

    /// Returns what it says about its contract.
    pub(crate) fn contract(self) -> Result<ContractTable, Problem> {
        let table = self.contract.map(|it| ContractTable::of(it, &self.path));
        Ok(table.transpose()?.unwrap_or_default())
    }
}

impl ContractTable {
    fn of(value: toml::Value, path: &Path) -> Result<Self, Problem> {
        let shown = path.display();
        let table = match value {
            toml::Value::String(file) => Ok(Self {
                file: Some(file.into()),
                allow: Vec::new(),
            }),
            table => table.try_into(),
        };
        let mut table: Self = table.map_err(|error: toml::de::Error| {
            let message = escape(error.message());
            Problem::usage(format!("cannot read `contract` in {shown}: {message}"))
        })?;
        let is_within = |file: &PathBuf| {
            file.components()
                .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        };
        if !table.file.iter().all(is_within) {
            let text = format!("the file of `contract` in {shown} is not in the project");
            return Err(Problem::usage(text).help("write its path from there, without `..`"));
        }
        table.file = table.file.map(|file| path.with_file_name(file));
        Ok(table)
    }
}

/// Also where a directory above cannot be searched: there may be no file.
fn is_absent(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Project, Problem> {
        Project::parse(PathBuf::from(FILE), text)
    }

    fn contract(text: &str) -> Result<ContractTable, Problem> {
        parse(text).unwrap().contract()
    }

    #[test]
    fn a_password_or_a_program_is_refused_and_not_shown() {
        for text in [
            "url = \"redis://:hush@a\"",
            "url = \"redis://hush@a\"",
            "url = \"redis+sentinel://a/m?sentinel_password=hush\"",
            "password = \"hush\"",
            "password_file = \"hush\"",
            "command = \"hush\"",
            "protect = \"hush\"",
            "[contexts.dev]\nurl = \"hush\"",
            "context = \"a\"\nurl = \"redis://a\"",
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
        for text in ["contract = \"/etc/hush\"", "contract.file = \"../hush\""] {
            let error = contract(text).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_project_names_a_context_and_a_namespace() {
        let project = parse("context = \"dev\"\nnamespace = \"shop\"").unwrap();
        assert_eq!(project.context.as_deref(), Some("dev"));
        assert_eq!(project.namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn a_project_names_its_contract_and_the_exceptions_of_it() {
        let number = contract("contract = 1").unwrap_err().to_string();
        assert!(number.ends_with("expected a file or a table"), "{number}");
        let short = contract("contract = \"contract/events.json\"").unwrap();
        assert_eq!(short.file, Some(PathBuf::from("contract/events.json")));
        let text = "[contract]\nfile = \"events.json\"\n[[contract.allow]]\nrule = \"value-added\"\n\
                    event = \"order.paid\"\nreason = \"all read it\"\nuntil = \"2027-03-01\"\n";
        assert_eq!(contract(text).unwrap().allow.len(), 1);
        let error = contract(&text.replace("value-added", "value-aded")).unwrap_err();
        assert!(error.to_string().contains("`value-aded`"), "{error}");
        let error = contract(&text.replace("2027-03-01", "soon")).unwrap_err();
        assert!(error.to_string().contains("must be a day"), "{error}");
    }
}
