//! Checks the layout of `crates/tidings/src`: files import only from layers below their own or from
//! their own, and no files import each other in a circle.

mod rules;
mod source;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use crate::layout::rules::Rules;
use crate::layout::source::{ModulePath, Source};
use crate::tool::repository;

const SOURCES: &str = "crates/tidings/src";

const RULES: &str = "crates/xtask/layout.toml";

/// A function with more lines than this is listed.
const LONG: usize = 60;

/// Prints a summary of the layout, and fails if an import breaks a rule.
pub(crate) fn look() -> Result<()> {
    let root = repository();
    let rules =
        fs::read_to_string(root.join(RULES)).with_context(|| format!("cannot read {RULES}"))?;
    let rules = Rules::parse(&rules)?;
    let layout = Layout::read(&root.join(SOURCES))?;
    print!("{}", layout.summary(&rules)?);
    let problems = layout.problems(&rules)?;
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

/// All files by their paths below `src`, without those of tests.
struct Layout {
    files: BTreeMap<String, Source>,
}

/// An import of one file by another.
struct Import<'a> {
    from: &'a str,
    to: &'a str,
    line: usize,
}

impl Layout {
    fn read(folder: &Path) -> Result<Self> {
        let mut files: BTreeMap<String, Source> = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(current) = folders.pop() {
            for entry in fs::read_dir(&current)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
                    let source = Source::parse(&module(&name), &fs::read_to_string(&path)?);
                    files.insert(
                        name.clone(),
                        source.with_context(|| format!("cannot parse {name}"))?,
                    );
                }
            }
        }
        let tests: Vec<_> = files
            .values()
            .flat_map(|file| file.test_modules.clone())
            .collect();
        files.retain(|name, _| !tests.iter().any(|test| module(name).starts_with(test)));
        Ok(Self { files })
    }

    /// Returns the imports between files, each with its line.
    fn imports(&self) -> Vec<Import<'_>> {
        let modules = self
            .files
            .keys()
            .map(|file| (module(file), file.as_str()))
            .collect();
        let mut imports = Vec::new();
        for (from, source) in &self.files {
            for (path, line) in &source.imports {
                let to = self.defined_in(path, &modules);
                if to != from {
                    imports.push(Import {
                        from,
                        to,
                        line: *line,
                    });
                }
            }
        }
        imports
    }

    /// Returns the file that defines the item of a path, through re-exports.
    fn defined_in<'a>(
        &'a self,
        path: &[String],
        modules: &BTreeMap<ModulePath, &'a str>,
    ) -> &'a str {
        let length = (0..=path.len())
            .rev()
            .find(|length| modules.contains_key(&path[..*length]));
        let (file, rest) = path.split_at(length.unwrap_or(0));
        let file = modules[file];
        let passed_on = rest.first().and_then(|name| {
            let mut reexports = self.files[file].reexports.iter();
            reexports.find(|(reexport, _)| reexport == name)
        });
        match passed_on {
            Some((_, path)) => self.defined_in(path, modules),
            None => file,
        }
    }

    /// Returns the imports that break a rule, and the files that import each other in a circle.
    fn problems(&self, rules: &Rules) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        for Import { from, to, line } in self.imports() {
            let (layer, other) = (rules.layer(from)?, rules.layer(to)?);
            if !rules.allow(layer, other) {
                problems.push(format!(
                    "{SOURCES}/{from}:{line}: `{layer}` may not import `{other}` ({to})"
                ));
            }
        }
        for circle in self.circles() {
            problems.push(format!(
                "{SOURCES}: import each other in a circle: {}",
                circle.join(", ")
            ));
        }
        Ok(problems)
    }

    /// Returns the files that import each other in circles, the largest circle first.
    fn circles(&self) -> Vec<Vec<&str>> {
        let imports = self.imports();
        let graph: DiGraphMap<&str, ()> = imports
            .iter()
            .map(|import| (import.from, import.to))
            .collect();
        let mut circles = tarjan_scc(&graph);
        circles.retain(|circle| circle.len() > 1);
        for circle in &mut circles {
            circle.sort_unstable();
        }
        circles.sort_by_key(|circle| Reverse(circle.len()));
        circles
    }

    fn summary(&self, rules: &Rules) -> Result<String> {
        let mut lines = BTreeMap::<&str, usize>::new();
        for (file, source) in &self.files {
            *lines.entry(rules.layer(file)?).or_default() += source.lines;
        }
        let mut up = BTreeSet::new();
        for Import { from, to, .. } in self.imports() {
            if !rules.allow(rules.layer(from)?, rules.layer(to)?) {
                up.insert((from, to));
            }
        }
        let functions = self.files.iter().flat_map(|(file, source)| {
            source
                .functions
                .iter()
                .map(move |(name, lines)| (*lines, name, file))
        });
        let mut long: Vec<_> = functions.filter(|(lines, ..)| *lines > LONG).collect();
        long.sort_by(|a, b| b.cmp(a));

        let in_circle = self.circles().first().map_or(0, Vec::len);
        let mut text = String::new();
        let total: usize = lines.values().sum();
        let _ = writeln!(
            text,
            "{:>6} files, {total} lines without unit tests",
            self.files.len()
        );
        let _ = writeln!(text, "{in_circle:>6} files in the largest circle");
        let _ = writeln!(text, "{:>6} imports that run up", up.len());
        for (layer, lines) in lines {
            let _ = writeln!(text, "{lines:>6} lines in {layer}");
        }
        for (lines, name, file) in long {
            let _ = writeln!(text, "{lines:>6} lines in the function {name} of {file}");
        }
        Ok(text)
    }
}

/// Returns the module of a file; that of `lib.rs` is the root.
fn module(file: &str) -> ModulePath {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    match path {
        "lib" => Vec::new(),
        _ => path.split('/').map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
        base = []
        [layers]
        bus = ["send"]
        send = []
    "#;

    fn layout(files: &[(&str, &str)]) -> Layout {
        let parsed = files.iter().map(|(file, text)| {
            (
                (*file).to_owned(),
                Source::parse(&module(file), text).unwrap(),
            )
        });
        Layout {
            files: parsed.collect(),
        }
    }

    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        layout(files)
            .problems(&Rules::parse(RULES).unwrap())
            .unwrap()
    }

    #[test]
    fn an_import_that_runs_up_is_named_with_its_line() {
        let files = [
            ("bus.rs", "use crate::send::Frame;"),
            ("send.rs", "\nuse crate::bus::Bus;"),
        ];
        assert_eq!(
            problems(&files),
            [
                "crates/tidings/src/send.rs:2: `send` may not import `bus` (bus.rs)",
                "crates/tidings/src: import each other in a circle: bus.rs, send.rs"
            ]
        );
    }

    #[test]
    fn a_name_that_is_passed_on_counts_where_it_is_defined() {
        let files = [
            ("lib.rs", "mod bus; pub use bus::Bus;"),
            ("bus.rs", "mod start; pub(crate) use start::Bus;"),
            ("bus/start.rs", ""),
            ("send.rs", "use crate::Bus;"),
        ];
        let expected = "crates/tidings/src/send.rs:1: `send` may not import `bus` (bus/start.rs)";
        assert_eq!(problems(&files), [expected]);
    }

    #[test]
    fn files_that_import_each_other_are_a_circle() {
        let circle = layout(&[
            ("lib.rs", "use crate::a::A;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use crate::c::C;"),
            ("c.rs", "use crate::a::A;"),
        ]);
        assert_eq!(circle.circles(), [["a.rs", "b.rs", "c.rs"]]);
        let line = layout(&[("a.rs", "use crate::b::B;"), ("b.rs", "")]);
        assert!(line.circles().is_empty());
    }
}
