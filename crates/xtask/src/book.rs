//! `cargo xtask book`: builds the book with mdBook, and looks at its pages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::install::Program;
use crate::links::FOLDERS;
use crate::tool::repository;
use crate::{links, prose, rendered};

/// The next version may render differently.
const MDBOOK: Program = Program {
    package: "mdbook",
    version: "0.5.1",
    features: &["--no-default-features", "--features", "search"],
};

/// The rendered book.
pub(crate) const BUILT: &str = "target/book";

/// Checks the sources, builds the book, and checks the rendered pages.
pub(crate) fn run() -> Result<()> {
    links::look()?;
    prose::look()?;
    build()?;
    rendered::look()
}

/// Builds the book and looks at it: what the ordinary run leaves out.
pub(crate) fn look() -> Result<()> {
    build()?;
    rendered::look()
}

/// Builds the book, with mdBook from the PATH or from cargo.
pub(crate) fn build() -> Result<()> {
    let built = repository().join(BUILT);
    if built.exists() {
        fs::remove_dir_all(built)?;
    }
    MDBOOK.ensure()?.args(["build", "docs"]).succeed()
}

/// Returns the rendered pages, without those that mdBook adds.
pub(crate) fn rendered_pages() -> Result<Vec<PathBuf>> {
    let built = repository().join(BUILT);
    let mut pages = Vec::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(built.join(folder)).context("the book is not built")? {
            let path = entry?.path();
            let added = ["404.html", "index.html", "print.html", "toc.html"];
            let is_added = added.iter().any(|it| path.ends_with(it));
            if path.extension().is_some_and(|it| it == "html") && !is_added {
                pages.push(path.strip_prefix(&built).unwrap_or(&path).to_owned());
            }
        }
    }
    pages.sort();
    ensure!(
        pages.contains(&Path::new("redis.html").to_owned()),
        "the book is not built"
    );
    Ok(pages)
}
