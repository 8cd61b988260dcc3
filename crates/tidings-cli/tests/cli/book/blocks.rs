//! The code blocks of part one: what a reader types, and what a reader sees.

use std::fs;
use std::path::{Path, PathBuf};

/// A code block.
#[derive(Debug)]
pub(super) struct Block {
    /// The language, and the words after it: `sh`, `first`.
    pub(super) words: Vec<String>,
    pub(super) text: String,
}

impl Block {
    fn new(words: impl Iterator<Item = impl Into<String>>, text: &str) -> Self {
        let words = words.map(Into::into).collect();
        let text = text.to_owned();
        Self { words, text }
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.words.iter().any(|it| it == word)
    }

    /// The items that the reader deletes.
    pub(super) fn deleted(&self) -> Vec<&str> {
        let words = self.words.iter();
        let names = words.filter_map(|word| word.strip_prefix("delete="));
        names.flat_map(|names| names.split('+')).collect()
    }

    /// The language and the terminal.
    pub(super) fn place(&self) -> (&str, &str) {
        let word = |at: usize| self.words.get(at).map_or("", String::as_str);
        (word(0), word(1))
    }
}

/// A folder of the repository.
pub(super) fn repository(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap().join(path)
}

/// Returns the files of a folder in the order of the numbers in their names.
pub(super) fn pages(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| {
        panic!("cannot read {}: {error}", folder.display());
    });
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .collect();
    pages.sort();
    pages
}

/// Returns the blocks of a page as it is written, with the included code.
pub(super) fn of_markdown(page: &Path) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut block: Option<(String, String)> = None;
    for line in fs::read_to_string(page).unwrap().lines() {
        match (line.strip_prefix("```"), &mut block) {
            (Some(words), None) => block = Some((words.to_owned(), String::new())),
            (Some(_), Some((words, text))) => {
                blocks.push(Block::new(words.split(','), text));
                block = None;
            }
            (None, Some((_, text))) => {
                text.push_str(&include(page, line));
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// Returns what a line of a block stands for: itself, or a part of a file.
fn include(page: &Path, line: &str) -> String {
    let included = line.strip_prefix("{{#include ");
    let Some(place) = included.and_then(|it| it.strip_suffix("}}")) else {
        return line.to_owned();
    };
    let (path, anchor) = place.split_once(':').unwrap_or((place, ""));
    let text = fs::read_to_string(page.parent().unwrap().join(path)).unwrap();
    if anchor.is_empty() {
        return text;
    }
    let (begin, end) = (
        format!("// ANCHOR: {anchor}"),
        format!("// ANCHOR_END: {anchor}"),
    );
    let lines = text.lines().skip_while(|line| line.trim() != begin).skip(1);
    let lines = lines.take_while(|line| line.trim() != end);
    let lines = lines.filter(|line| !line.trim_start().starts_with("// ANCHOR"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the blocks of a rendered page.
pub(super) fn of_html(page: &Path) -> Vec<Block> {
    let html = fs::read_to_string(page).unwrap();
    let blocks = html.split("<code class=\"language-").skip(1);
    let blocks = blocks.map(|rest| {
        let (words, rest) = rest.split_once("\">").unwrap();
        let (text, _) = rest.split_once("</code>").unwrap();
        Block::new(words.split(' '), &unescape(text))
    });
    blocks.collect()
}

fn unescape(html: &str) -> String {
    let mut text = String::new();
    // Tags within code, such as those around hidden lines.
    for part in html.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, after)| after));
    }
    for (entity, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, character);
    }
    text
}

#[test]
fn code_of_a_rendered_page_is_what_a_reader_copies() {
    assert_eq!(unescape("Result&lt;(), Error&gt;"), "Result<(), Error>");
    let hidden = "<span class=\"boring\">use a;\n</span>b();\n";
    assert_eq!(unescape(hidden), "use a;\nb();\n");
    assert_eq!(unescape("&amp;lt;"), "&lt;");
}
