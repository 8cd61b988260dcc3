//! The file of the contract in another revision, as git has it.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

use crate::exit::Problem;
use crate::terminal::{escape, escape_lines};

/// The revisions that are compared with by default: the first that exists.
const DEFAULTS: [&str; 4] = ["origin/main", "origin/master", "main", "master"];

/// A text that each contract has.
const MARK: &str = "\"tidings\": 1";

/// The exit code of `git grep` if no file matches, and of `git rev-parse --verify --quiet` if there is no
/// such revision. Others are failures.
const NO_MATCH: i32 = 1;

/// The text with which git ends outside of a repository. Its exit code is that of other failures, too.
const NO_REPOSITORY: &str = "not a git repository";

/// The help for a name that is no revision.
const LIST: &str = "`git log --oneline` and `git tag` list revisions";

/// The directory of the file, in a repository.
#[derive(Clone, Copy, Debug)]
pub(super) struct Git<'a> {
    directory: &'a Path,
    file: &'a Path,
}

/// A revision that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Revision {
    /// As it was given: `origin/main`.
    pub(super) name: String,
    id: String,
}

impl<'a> Git<'a> {
    /// Looks for the repository that the file is in.
    pub(super) fn of(file: &'a Path) -> Result<Self, Problem> {
        let directory = file.parent().filter(|it| *it != Path::new(""));
        let git = Self {
            directory: directory.unwrap_or(Path::new(".")),
            file,
        };
        let output = git.output(&["rev-parse", "--is-inside-work-tree"])?;
        match text_of(&output) {
            Ok(_) => return Ok(git),
            Err(_) if String::from_utf8_lossy(&output.stderr).contains(NO_REPOSITORY) => {}
            Err(problem) => return Err(problem),
        }
        let shown = escape(file.display());
        Err(Problem::failed(format!("{shown} is in no git repository"))
            .help("name a file to compare with: --against old.json"))
    }

    /// Returns the revision that is compared with if none was named.
    pub(super) fn default_revision(self) -> Result<Revision, Problem> {
        for name in DEFAULTS {
            if let Some(revision) = self.find(name)? {
                return Ok(revision);
            }
        }
        let [first, others @ ..] = DEFAULTS;
        let text = format!(
            "there is no revision {first} to compare with, nor {}",
            others.join(", ")
        );
        let problem = Problem::failed(text);
        Err(match self.help_for(first)? {
            Some(help) => problem.help(help),
            None => problem.help("name the revision that is deployed: --against v1.3.0"),
        })
    }

    /// Returns a revision by its name.
    pub(super) fn revision(self, name: &str) -> Result<Revision, Problem> {
        if let Some(revision) = self.find(name)? {
            return Ok(revision);
        }
        let shown = escape(name);
        if let Some(kind) = self.kind(name)? {
            let text = format!("`{shown}` names a {kind}, and no commit");
            return Err(Problem::failed(text).help(LIST));
        }
        let problem = Problem::failed(format!("there is no revision or file `{shown}`"));
        Err(match self.help_for(name)? {
            Some(help) => problem.help(help),
            None => problem.help(LIST),
        })
    }

    /// Returns a revision if it exists. Fails if git cannot read it.
    pub(super) fn find(self, name: &str) -> Result<Option<Revision>, Problem> {
        let id = self.parse("--short", &format!("{name}^{{commit}}"))?;
        if id.is_none() {
            // Fails if the repository has lost the commit.
            self.kind(name)?;
        }
        Ok(id.map(|id| Revision {
            name: name.to_owned(),
            id: id.trim().to_owned(),
        }))
    }

    /// Returns the type of the object that a branch or tag is of, if there is one with this name. Fails
    /// if git cannot read the object.
    fn kind(self, name: &str) -> Result<Option<String>, Problem> {
        if self.parse("--symbolic-full-name", name)?.is_none() {
            return Ok(None);
        }
        let kind = self.read(&["cat-file", "-t", &format!("{name}^{{}}")])?;
        Ok(Some(kind.trim().to_owned()))
    }

    /// Returns a revision in this form, if there is such a revision. One that is named by its id may
    /// have no such form.
    fn parse(self, form: &str, revision: &str) -> Result<Option<String>, Problem> {
        let parse = ["rev-parse", "--verify", "--quiet", form, "--end-of-options"];
        let output = self.output(&[&parse[..], &[revision]].concat())?;
        match output.status.code() {
            Some(NO_MATCH) => Ok(None),
            _ => text_of(&output).map(|text| Some(text).filter(|text| !text.is_empty())),
        }
    }

    /// Returns the tags, the oldest version first.
    pub(super) fn tags(self) -> Result<Vec<Revision>, Problem> {
        let tags = self.read(&["tag", "--list", "--sort=version:refname"])?;
        let found = tags.lines().filter_map(|tag| self.find(tag).transpose());
        let found = found.collect::<Result<Vec<_>, _>>()?;
        if found.is_empty() {
            let problem = Problem::failed("the repository has no tags to compare with");
            return Err(problem.help(if self.is_shallow()? {
                "this clone is shallow: git fetch --tags --unshallow"
            } else {
                "name one revision instead: --against REV"
            }));
        }
        Ok(found)
    }

    /// Returns the text of the file in a revision, or of another file there. `None` if the revision
    /// does not have the file yet. Fails if the file may have had another path there.
    pub(super) fn show(
        self,
        revision: &Revision,
        path: Option<&str>,
    ) -> Result<Option<String>, Problem> {
        if let Some(text) = self.show_if_there(revision, path)? {
            return Ok(Some(text));
        }
        let shown = escape(path.map_or_else(|| self.file.display().to_string(), str::to_owned));
        let problem = Problem::failed(format!("{revision} has no {shown}"));
        if path.is_some() {
            let others = self.contracts_in(revision)?;
            return Err(problem.help(others.first().map_or_else(
                || "the path is that from the root of the repository".to_owned(),
                |other| other_contract(revision, other),
            )));
        }
        match self.moved_from(revision)? {
            Some(other) => Err(problem.help(other_contract(revision, &other))),
            None => Ok(None),
        }
    }

    /// Returns the text of the file in a revision, or of another file there, if it has one.
    pub(super) fn show_if_there(
        self,
        revision: &Revision,
        path: Option<&str>,
    ) -> Result<Option<String>, Problem> {
        let name = path.map_or_else(|| format!("./{}", self.name()), str::to_owned);
        if !self.has(revision, &name)? {
            return Ok(None);
        }
        let object = format!("{}:{name}", revision.id);
        self.read(&["show", "--end-of-options", &object]).map(Some)
    }

    /// Returns whether a revision has the path. Only trees are read: the content of a file may be
    /// missing or damaged, and a file that cannot be read is not a new one.
    fn has(self, revision: &Revision, name: &str) -> Result<bool, Problem> {
        let mut list = vec!["--literal-pathspecs", "ls-tree", "--name-only"];
        // As in `REV:PATH`, a path is that from the root unless it begins with a dot.
        if !name.starts_with("./") && !name.starts_with("../") {
            list.push("--full-tree");
        }
        list.extend([&revision.id, "--", name]);
        Ok(!self.read(&list)?.is_empty())
    }

    /// Returns the path of a contract that is not there any more: this one may have been moved. A
    /// contract that is still there is that of another program.
    fn moved_from(self, revision: &Revision) -> Result<Option<String>, Problem> {
        let root = self.read(&["rev-parse", "--show-toplevel"])?;
        let root = Path::new(root.trim_end_matches(['\r', '\n']));
        let mut others = self.contracts_in(revision)?.into_iter();
        Ok(others.find(|other| !root.join(other).exists()))
    }

    /// Returns the name of the file in its directory.
    fn name(self) -> String {
        let name = self.file.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Returns the paths of the contracts in a revision.
    fn contracts_in(self, revision: &Revision) -> Result<Vec<String>, Problem> {
        let search = [
            "grep",
            "--full-name",
            "--files-with-matches",
            "--fixed-strings",
            "-e",
            MARK,
        ];
        let output = self.output(&[&search[..], &[&revision.id, "--", ":/*.json"]].concat())?;
        let found = match output.status.code() {
            Some(NO_MATCH) => String::new(),
            _ => text_of(&output)?,
        };
        let paths = found.lines().filter_map(|line| line.split_once(':'));
        Ok(paths.map(|(_, path)| path.to_owned()).collect())
    }

    /// Returns how to get a revision that is missing from a shallow clone.
    fn help_for(self, name: &str) -> Result<Option<String>, Problem> {
        if !self.is_shallow()? {
            return Ok(None);
        }
        let name = escape(name);
        let fetch = match name.strip_prefix("origin/") {
            Some(branch) => {
                format!("git fetch --depth=1 origin {branch}:refs/remotes/origin/{branch}")
            }
            None => format!("git fetch --depth=1 origin tag {name}"),
        };
        Ok(Some(format!("this clone is shallow: {fetch}")))
    }

    fn is_shallow(self) -> Result<bool, Problem> {
        let answer = self.read(&["rev-parse", "--is-shallow-repository"])?;
        Ok(answer.trim() == "true")
    }

    /// Runs git, and returns what it prints. Fails if git fails.
    fn read(self, arguments: &[&str]) -> Result<String, Problem> {
        text_of(&self.output(arguments)?)
    }

    fn output(self, arguments: &[&str]) -> Result<Output, Problem> {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.directory).args(arguments);
        // `NO_REPOSITORY` is English.
        command.env("LC_ALL", "C");
        command.output().map_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                Problem::failed("cannot read another revision: there is no `git`")
                    .help("install git, or name a file to compare with: --against old.json")
            } else {
                Problem::failed(format!("cannot run git: {error}"))
            }
        })
    }
}

/// Returns what git printed, or the error that it reported.
fn text_of(output: &Output) -> Result<String, Problem> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    let why = escape_lines(why.trim());
    let status = output.status;
    Err(Problem::failed(format!(
        "cannot read another revision: git ended with {status}: {why}"
    )))
}

fn other_contract(revision: &Revision, path: &str) -> String {
    let name = &revision.name;
    format!("it has another contract: --against {name}:{}", escape(path))
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, id } = self;
        if name == id {
            f.write_str(id)
        } else {
            write!(f, "{id} ({})", escape(name))
        }
    }
}
