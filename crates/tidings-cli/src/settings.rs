//! The settings of an address: where each comes from, and which one counts.

pub(crate) mod address;
pub(crate) mod config;
mod password_file;
mod project;
mod resolve;

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use self::address::Address;
use self::config::Config;
use self::project::ContractTable;
pub(crate) use self::project::Project;
use self::resolve::{Choices, resolve};
use crate::args::Global;
use crate::exit::Problem;

/// The settings with which a command connects to Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) context: Option<Sourced<String>>,
    pub(crate) url: Sourced<Address>,
    pub(crate) namespace: Sourced<String>,
    pub(crate) password_file: Option<Sourced<PathBuf>>,
    /// True if writes need a confirmation.
    pub(crate) is_protected: bool,
}

/// A value, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sourced<T> {
    pub(crate) value: T,
    pub(crate) source: Source,
}

/// The source of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Flag(&'static str),
    Variable(&'static str),
    Project(PathBuf),
    /// The file of the user.
    Config(PathBuf),
    /// The context with this name, in the file of the user.
    Context(String),
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::Project(path) | Self::Config(path) => write!(f, "{}", path.display()),
            Self::Context(name) => write!(f, "context {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Reads the file of the project that this directory is in, if it has one.
pub(crate) fn project() -> Result<Option<Project>, Problem> {
    match env::current_dir() {
        Ok(directory) => Project::find(&directory),
        Err(_) => Ok(None),
    }
}

/// Reads what the project says about its contract.
pub(crate) fn contract() -> Result<ContractTable, Problem> {
    project()?.map_or_else(|| Ok(ContractTable::default()), Project::contract)
}

impl Settings {
    /// Reads the environment and the files, and returns the settings that count.
    pub(crate) fn read(global: &Global) -> Result<Self, Problem> {
        let project = project()?;
        let variables = [
            variable("TIDINGS_URL")?,
            variable("TIDINGS_CONTEXT")?,
            variable("TIDINGS_NAMESPACE")?,
            variable("TIDINGS_PASSWORD_FILE")?,
        ];
        let [url, context, namespace, password_file] = variables;
        resolve(&Choices {
            flags: [&global.url, &global.context, &global.namespace].map(Clone::clone),
            variables: [url, context, namespace],
            password_file: password_file.map(PathBuf::from),
            project,
            config: Config::read(config_path().as_deref())?,
        })
    }
}

impl Settings {
    /// Checks which users may use the password file, if there is one, and returns a warning.
    pub(crate) fn check_password_file(&self) -> Result<Option<String>, Problem> {
        match &self.password_file {
            Some(file) => password_file::check(&file.value),
            None => Ok(None),
        }
    }
}

/// Returns the path of the user's file: `~/.config/tidings/config.toml`.
pub(crate) fn config_path() -> Option<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|it| it.is_absolute())
    };
    let home = || absolute("HOME").map(|home| home.join(".config"));
    let directory = absolute("XDG_CONFIG_HOME").or_else(home)?;
    Some(directory.join("tidings").join("config.toml"))
}

/// Returns an environment variable; an empty one counts as absent.
fn variable(name: &str) -> Result<Option<String>, Problem> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            Err(Problem::usage(format!("the variable {name} is not UTF-8")))
        }
    }
}

/// Returns the error of a file that cannot be parsed. Its text is not shown: it may have a password.
fn not_parsed(path: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.get(..start).unwrap_or_default().split('\n').count();
    let message = error.message();
    // These name keys; other messages of serde quote values.
    let is_about_keys =
        message.starts_with("unknown field") || message.starts_with("missing field");
    let what = if is_about_keys {
        message
    } else {
        "it is not valid TOML, or a value has the wrong type"
    };
    let path = path.display();
    Problem::usage(format!("cannot read line {line} of {path}: {what}"))
}
