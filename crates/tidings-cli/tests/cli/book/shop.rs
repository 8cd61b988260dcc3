//! Part two of the book, as a reader does it.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::symlink;

use tidings_testkit::Redis;
use toml::Table;

use super::blocks::{Block, of_markdown, pages, repository};
use super::reader::Reader;

/// The pages whose programs need nothing but themselves.
const IN_MEMORY: [&str; 4] = ["events", "handlers", "ask", "slow"];

/// The pages of the web service, which a reader does one after the other.
const WEB: [&str; 3] = ["web", "cache", "deploy"];

/// The page with programs in other languages.
const LANGUAGES: &str = "languages";

/// The page with a test, which is one of `examples/tests`.
const TESTS: &str = "tests";

#[test]
fn part_two_shows_what_its_programs_print() {
    let mut reader = Reader::with_built();
    for page in IN_MEMORY {
        reader.read(&blocks(page));
    }
}

#[test]
fn the_web_service_of_part_two_does_what_its_pages_show() {
    let mut reader = Reader::with_built();
    for page in WEB {
        reader.read(&blocks(page));
    }
}

#[tokio::test]
#[ignore = "needs Node, Python and their packages: `cargo xtask test --long`"]
async fn programs_in_other_languages_print_what_their_page_shows() {
    let redis = Redis::start().await;
    let mut reader = Reader::with_built();
    reader.export(&format!("export TIDINGS_URL={}", redis.url()));
    let installed = repository("target/bench-peers");
    let programs = ["python.py", "node.mjs"];
    for name in programs {
        let program = repository(&format!("docs/src/programs/{name}"));
        fs::copy(program, reader.shop().join(name)).unwrap();
    }
    for (from, to) in [("python", ".venv"), ("js/node_modules", "node_modules")] {
        symlink(installed.join(from), reader.shop().join(to)).unwrap();
    }
    reader.read(&blocks(LANGUAGES));
}

#[test]
fn the_test_of_part_two_is_one_of_this_repository() {
    let blocks = blocks(TESTS);
    let shown = blocks.iter().filter(|block| block.place().0 == "text");
    let shown = shown.flat_map(|block| block.text.lines());
    let names = shown.filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... ok"));
    let is_test = |name| {
        let function = format!("async fn {name}()");
        blocks
            .iter()
            .any(|block| block.place().0 == "rust" && block.text.contains(&function))
    };
    let tests: Vec<_> = names.collect();
    assert_eq!(tests.len(), 1);
    assert!(tests.into_iter().all(is_test));
}

#[test]
fn each_page_of_part_two_is_tried() {
    let tried = IN_MEMORY.iter().chain(&WEB).chain(&[LANGUAGES, TESTS]);
    let tried: HashSet<_> = tried.map(|name| format!("{name}.md")).collect();
    let pages = pages(&repository("docs/src/shop"), "md");
    let pages = pages.iter().map(|page| page.file_name().unwrap());
    let pages: HashSet<_> = pages
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    assert_eq!(tried, pages);
}

#[test]
fn dependencies_of_part_two_are_those_of_its_programs() {
    let read = |path: &str| {
        let text = fs::read_to_string(repository(path)).unwrap();
        text.parse::<Table>().unwrap()
    };
    let (programs, workspace) = (read("examples/Cargo.toml"), read("Cargo.toml"));
    let texts = ["web", TESTS].map(blocks).into_iter().flatten();
    let texts = texts.filter(|block| block.place().0 == "toml");
    let mut names = Vec::new();
    for block in texts {
        let text = block.text.replace("[dev-dependencies]", "");
        for (name, shown) in text.parse::<Table>().unwrap() {
            let used = &workspace["workspace"]["dependencies"][&name];
            if let Some(path) = shown.get("path") {
                let path = path.as_str().unwrap().strip_prefix("../tidings/");
                assert_eq!(path, used["path"].as_str());
                let features = programs["dependencies"][&name].get("features");
                assert_eq!(shown.get("features"), features, "{name}");
            } else {
                assert_eq!(&shown, used.get("version").unwrap_or(used), "{name}");
            }
            names.push(name);
        }
    }
    names.sort();
    assert_eq!(
        names,
        ["axum", "listenfd", "tidings-supervisor", "tidings-testkit"]
    );
}

fn blocks(page: &str) -> Vec<Block> {
    of_markdown(&repository(&format!("docs/src/shop/{page}.md")))
}
