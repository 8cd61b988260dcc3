//! Checks the links of the README and the book: each leads to an existing file and heading, and none
//! of the book leads out of the book, which is rendered alone.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::tool::repository;

const BOOK: &str = "docs/src";

/// The folders of the book with pages.
pub(crate) const FOLDERS: [&str; 3] = ["", "tutorial", "shop"];

/// Checks the links of every page.
pub(crate) fn look() -> Result<()> {
    let root = repository();
    let mut broken = Vec::new();
    let mut count = 0;
    for page in pages(root)? {
        let links = links(&read(&page)?);
        count += links.len();
        let wrong = links.iter().filter_map(|link| {
            let why = problem(root, &page, link)?;
            let page = page.strip_prefix(root).unwrap_or(&page).display();
            Some(format!("{page}: `{link}` {why}"))
        });
        broken.extend(wrong);
    }
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    println!("{count} links are valid");
    Ok(())
}

/// Returns the pages at the root, of each crate and of the book.
fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let book = root.join(BOOK);
    let mut folders = vec![root.to_owned()];
    folders.extend(FOLDERS.map(|folder| book.join(folder)));
    for folder in fs::read_dir(root.join("crates"))? {
        folders.push(folder?.path());
    }
    let mut pages = Vec::new();
    for folder in folders {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    Ok(pages)
}

fn read(page: &Path) -> Result<String> {
    fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))
}

/// Returns what is wrong with a link. Links to other sites are not checked.
fn problem(root: &Path, page: &Path, link: &str) -> Option<&'static str> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() {
        page.to_owned()
    } else {
        page.parent()?.join(file)
    };
    let Ok(target) = target.canonicalize() else {
        return Some("leads to no file");
    };
    let book = root.join(BOOK);
    if page.starts_with(&book) && !target.starts_with(&book) {
        return Some("leads out of the book");
    }
    if heading.is_empty() || target.is_dir() {
        return None;
    }
    let text = fs::read_to_string(&target).unwrap_or_default();
    (!headings(&text).contains(heading)).then_some("leads to no heading")
}

fn parse(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

fn links(text: &str) -> Vec<String> {
    let link = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            Some(dest_url.into_string())
        }
        _ => None,
    };
    parse(text).filter_map(link).collect()
}

/// Returns the ids that mdBook and other renderers of Markdown give to headings.
fn headings(text: &str) -> HashSet<String> {
    let mut ids = HashSet::new();
    let mut heading = None;
    for event in parse(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => ids.extend(heading.take().map(|text| id(&text))),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            _ => {}
        }
    }
    ids
}

fn id(heading: &str) -> String {
    let kept = heading.chars().filter_map(|letter| match letter {
        letter if letter.is_alphanumeric() || "_-".contains(letter) => Some(letter),
        letter if letter.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem_of(link: &str) -> Option<&'static str> {
        let root = repository();
        problem(root, &root.join(BOOK).join("redis.md"), link)
    }

    #[test]
    fn every_link_of_readme_and_book_leads_somewhere() {
        look().unwrap();
    }

    #[test]
    fn each_kind_of_broken_link_is_found() {
        assert_eq!(problem_of("bus.md"), None);
        assert_eq!(problem_of("redis.md#sentinel"), None);
        assert_eq!(problem_of("#sentinel"), None);
        assert_eq!(problem_of("nowhere.md"), Some("leads to no file"));
        assert_eq!(problem_of("redis.md#nowhere"), Some("leads to no heading"));
        assert_eq!(problem_of("../../README.md"), Some("leads out of the book"));
        assert_eq!(problem_of("https://docs.rs/metrics"), None);
    }

    #[test]
    fn a_heading_has_the_id_that_mdbook_gives_it() {
        let ids =
            headings("## Every queue, and what happens when it is full\n\n### `on_gap` & co\n");
        assert!(ids.contains("every-queue-and-what-happens-when-it-is-full"));
        assert!(ids.contains("on_gap--co"), "{ids:?}");
    }

    #[test]
    fn links_in_code_are_no_links() {
        assert_eq!(
            links("`[a](b.md)` [c](d.md) ![e](f.svg)"),
            ["d.md", "f.svg"]
        );
    }
}
