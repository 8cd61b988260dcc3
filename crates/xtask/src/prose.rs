//! Checks the text of the book: its words, the length of its pages, and the heads of its tables.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::links::FOLDERS;
use crate::tool::{repository, tool};

/// The most words of a page in parts one and two and of a guide, without code.
const WORDS: usize = 1_500;

/// Words that have another one here: `docs/src/glossary.md`.
const FOREIGN: [&str; 15] = [
    "anew",
    "beside",
    "broker",
    "brokers",
    "deaf",
    "goodbye",
    "hear",
    "heard",
    "hears",
    "listener",
    "listeners",
    "topic",
    "topics",
    "whoever",
    "meanwhile",
];

/// Pages that speak of other systems, in their words.
const COMPARING: [&str; 4] = [
    "compared.md",
    "coming-from.md",
    "glossary.md",
    "promises.md",
];

/// The folders of which a reader in the tests compares each `text` block with what a program prints.
const COMPARED: [&str; 2] = ["shop", "tutorial"];

/// The page whose `console` blocks are compared in the same way.
const SESSIONS: &str = "cli.md";

/// The tests that compare single blocks of other pages.
const TESTS: &str = "crates/tidings-cli/tests";

/// Checks all pages of the book.
pub(crate) fn look() -> Result<()> {
    let book = repository().join("docs/src");
    let mut wrong = Vec::new();
    let summary = fs::read_to_string(book.join("SUMMARY.md"))?;
    let pages = pages(&summary);
    for (part, page) in &pages {
        let text = fs::read_to_string(book.join(page))?;
        let problems = problems(part, page, &text).into_iter();
        wrong.extend(problems.map(|problem| format!("{}: {problem}", page.display())));
    }
    for page in left_out(&book, &pages)? {
        wrong.push(format!("{} is not in SUMMARY.md", page.display()));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} pages are fine", pages.len());
    Ok(())
}

/// Returns the pages of a summary with the headings of their parts.
fn pages(summary: &str) -> Vec<(String, PathBuf)> {
    let mut part = String::new();
    let mut pages = Vec::new();
    for line in summary.lines() {
        if let Some(heading) = line.strip_prefix("# ") {
            heading.clone_into(&mut part);
        }
        let link = line
            .split_once("](")
            .and_then(|(_, rest)| rest.strip_suffix(')'));
        pages.extend(link.map(|page| (part.clone(), PathBuf::from(page))));
    }
    pages
}

fn left_out(book: &Path, pages: &[(String, PathBuf)]) -> Result<Vec<PathBuf>> {
    let mut left_out = Vec::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(book.join(folder))? {
            let path = entry?.path();
            let page = path.strip_prefix(book)?.to_owned();
            let is_page = page.extension().is_some_and(|it| it == "md");
            let is_listed = pages.iter().any(|(_, listed)| *listed == page);
            if is_page && !is_listed && page != Path::new("SUMMARY.md") {
                left_out.push(page);
            }
        }
    }
    Ok(left_out)
}

fn problems(part: &str, page: &Path, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut words = 0;
    let mut code_blocks = 0;
    // The number of cells in the head of a table so far, and of the last one with text.
    let mut head: Option<(usize, usize)> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                code_blocks += 1;
                problems.extend(unverified(page, &kind));
            }
            Event::End(TagEnd::CodeBlock) => code_blocks -= 1,
            Event::Start(Tag::TableHead) => head = Some((0, 0)),
            Event::End(TagEnd::TableHead) => {
                let is_empty = |(cells, named): (usize, usize)| named < cells.min(2);
                let problem = head.take().filter(|head| is_empty(*head));
                problems.extend(problem.map(|_| "a table has an empty head".to_owned()));
            }
            Event::Start(Tag::TableCell) => head = head.map(|(cells, named)| (cells + 1, named)),
            Event::Text(text) if code_blocks == 0 => {
                head = head.map(|(cells, _)| (cells, cells));
                words += text.split_whitespace().count();
                problems.extend(foreign(page, &text));
            }
            Event::Code(text) => {
                head = head.map(|(cells, _)| (cells, cells));
                words += text.split_whitespace().count();
            }
            _ => {}
        }
    }
    let is_limited = ["Part one", "Part two", "Guides"]
        .iter()
        .any(|it| part.starts_with(it));
    if is_limited && words > WORDS {
        problems.push(format!("{words} words, and {WORDS} are allowed"));
    }
    problems
}

/// Returns a problem if a block shows output that no test compares. Addresses, settings, formats and
/// pictures are marked as such.
fn unverified(page: &Path, kind: &CodeBlockKind<'_>) -> Option<String> {
    let words = match kind {
        CodeBlockKind::Fenced(words) => &**words,
        CodeBlockKind::Indented => "",
    };
    let (language, name) = words.split_once(',').unwrap_or((words, ""));
    let is_fine = match language {
        "" => return Some("a code block has no language".to_owned()),
        "console" => page == Path::new(SESSIONS),
        "text" => COMPARED.iter().any(|it| page.starts_with(it)) || is_shown(page, name),
        _ => true,
    };
    let problem = format!("no test compares the output in the block `{words}`");
    (!is_fine).then_some(problem)
}

/// Returns whether a test takes the block `text,NAME` of a page.
fn is_shown(page: &Path, name: &str) -> bool {
    let call = format!("shown(\"{}\", \"{name}\")", page.display());
    let search = tool("git").args(["grep", "--quiet", "--fixed-strings", &call, "--", TESTS]);
    search.succeed().is_ok()
}

/// Returns what is wrong with the words of a text.
fn foreign(page: &Path, text: &str) -> Vec<String> {
    if COMPARING.iter().any(|it| page.ends_with(it)) {
        return Vec::new();
    }
    let words = text.split(|it: char| !it.is_alphanumeric());
    let words = words.map(str::to_lowercase);
    let words = words.filter(|word| FOREIGN.contains(&&**word));
    words
        .map(|word| format!("`{word}` is not a word of this book"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(text: &str) -> Vec<String> {
        problems("Part two", Path::new("a.md"), text)
    }

    #[test]
    fn the_book_has_only_its_own_words_and_short_pages() {
        look().unwrap();
    }

    #[test]
    fn each_problem_of_a_page_is_found() {
        assert_eq!(
            problems_of("A handler.\n\n```url\na listener\n```\n"),
            [""; 0]
        );
        for unverified in ["text", "text,first", "console", ""] {
            let block = format!("```{unverified}\nan answer\n```\n");
            assert_eq!(problems_of(&block).len(), 1, "{unverified}");
        }
        assert_eq!(problems_of("    an answer\n").len(), 1);
        assert_eq!(
            problems_of("| a | b |\n| --- | --- |\n| c | d |\n"),
            [""; 0]
        );
        assert_eq!(problems_of("| | b |\n| --- | --- |\n| c | d |\n"), [""; 0]);
        assert_eq!(problems_of("Topics.").len(), 1);
        assert_eq!(problems_of("| | |\n| --- | --- |\n| c | d |\n").len(), 1);
        assert_eq!(problems_of(&"word ".repeat(1_501)).len(), 1);
    }

    #[test]
    fn a_summary_has_parts_and_pages() {
        let pages = pages("# Part two: a\n\n- [Events](events.md)\n");
        assert_eq!(pages, [("Part two: a".to_owned(), "events.md".into())]);
    }
}
