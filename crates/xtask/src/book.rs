//! `cargo xtask book`: builds the book with mdBook, and looks at its pages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::tool::{Tool, cargo, repository, tool};
use crate::{links, prose, rendered};

/// The version of mdBook. The next one may render differently.
const MDBOOK: &str = "0.5.1";

/// The folder in which it is installed if the PATH has none.
const TOOLS: &str = "target/tools";

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
    mdbook()?.args(["build", "docs"]).succeed()
}

fn mdbook() -> Result<Tool> {
    let on_path = tool("mdbook");
    if has_version(&on_path) {
        return Ok(on_path);
    }
    let installed = tool("mdbook").at(repository().join(TOOLS).join("bin/mdbook"));
    if !has_version(&installed) {
        // An optimized one takes three minutes of processor time to compile, and renders one book.
        let install = cargo("install").args(["mdbook", "--debug", "--locked", "--root", TOOLS]);
        let version = format!("={MDBOOK}");
        let features = ["--no-default-features", "--features", "search"];
        let install = install.args(["--version", &version]).args(features);
        println!("installing mdBook: {install}");
        install.succeed()?;
    }
    Ok(installed)
}

fn has_version(mdbook: &Tool) -> bool {
    let version = mdbook.clone().args(["--version"]).printed();
    version.is_ok_and(|version| version.trim().trim_start_matches("mdbook v") == MDBOOK)
}

/// Returns the rendered pages, without those that mdBook adds.
pub(crate) fn rendered_pages() -> Result<Vec<PathBuf>> {
    let built = repository().join(BUILT);
    let mut pages = Vec::new();
    for folder in [built.join("tutorial"), built.clone()] {
        for entry in fs::read_dir(&folder).context("the book is not built")? {
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
