//! The arguments of `tidings schema`.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::contract::Direction;

const EXAMPLES: &str = "\
The contract is the file that a test writes: `tidings_testkit::contract!(\"contract/events.json\")`.
Exit code 3 says that a change breaks a process, or that `lint` found something.

Examples:
  tidings schema check
  tidings schema check --against v1.3.0 --direction old-reads-new --json
  tidings schema diff v1.3.0 v1.4.0
  tidings schema export --asyncapi -o asyncapi.json";

/// Check what events look like: whether another version can read them.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Schema {
    #[command(subcommand)]
    pub(crate) action: SchemaAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SchemaAction {
    /// Check whether old and new processes can read each other.
    Check(Check),
    /// Print the changes between two versions as Markdown.
    Diff(Diff),
    /// Find events without a schema, and types that are likely to cause trouble.
    Lint(ContractFile),
    /// Print the schemas for other programs.
    Export(Export),
}

/// The file of the contract.
#[derive(Debug, Parser)]
pub(crate) struct ContractFile {
    /// File of the contract; that of `tidings.toml`, or `contract/events.json`.
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Parser)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) contract: ContractFile,
    /// Revision of git (`v1.3.0`, `v1.3.0:old/path.json`) or file to compare with; origin/main by default.
    #[arg(long, value_name = "REV")]
    pub(crate) against: Option<String>,
    /// Compare with each tag that has the file, because a journal may still have its events.
    #[arg(long, conflicts_with = "against")]
    pub(crate) all: bool,
    /// Compare with what the members say that they write and read, now.
    #[arg(long, conflicts_with_all = ["against", "all"])]
    pub(crate) fleet: bool,
    /// Check only one direction; values and maps are always checked in both.
    #[arg(long, value_enum)]
    pub(crate) direction: Option<DirectionArg>,
    /// Form of the output.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Parser)]
pub(crate) struct Diff {
    /// Revision of git, or file.
    pub(crate) old: String,
    /// Revision of git, or file; the file of the working tree by default.
    pub(crate) new: Option<String>,
}

#[derive(Debug, Parser)]
#[command(group = clap::ArgGroup::new("form").required(true))]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) contract: ContractFile,
    /// An AsyncAPI document (3.0.0, or 3.1.0 with `=3.1`) with the channel of the namespace, and all events.
    #[arg(long, group = "form", value_enum, value_name = "VERSION", num_args = 0..=1)]
    #[arg(require_equals = true, default_missing_value = "3.0")]
    pub(crate) asyncapi: Option<AsyncApiVersion>,
    /// A JSON Schema (draft 07) for each event, response, value and map.
    #[arg(long, group = "form")]
    pub(crate) jsonschema: bool,
    /// File, or for `--jsonschema` directory, to write; standard output by default.
    #[arg(long, short, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
}

/// The version of a document; what it says is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AsyncApiVersion {
    #[value(name = "3.0")]
    V3_0,
    #[value(name = "3.1")]
    V3_1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DirectionArg {
    /// New processes read what old ones write.
    NewReadsOld,
    /// Old processes read what new ones write.
    OldReadsNew,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    Text,
    /// Annotations of GitHub Actions.
    Github,
    /// As with `--json`.
    Json,
}

impl From<DirectionArg> for Direction {
    fn from(direction: DirectionArg) -> Self {
        match direction {
            DirectionArg::NewReadsOld => Self::NewReadsOld,
            DirectionArg::OldReadsNew => Self::OldReadsNew,
        }
    }
}
