//! Part one of the book and the program of the README, as a reader does them.
//!
//! The ordinary test runs the programs of `examples/tutorial` instead of building them; the long one
//! takes the rendered pages and builds all in an empty folder.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::blocks::{of_html, of_markdown, pages, repository};
use super::editor::by_name;
use super::reader::{Programs, Reader, built, changed, is_copy};
use crate::support::Sandbox;

/// The limits of part one.
const WORDS: usize = 1_600;
const LINES: usize = 120;
const COMMANDS: usize = 14;

/// The time that all of it may take on two cores with no other work.
const LIMIT: Duration = Duration::from_mins(8);

#[test]
fn part_one_shows_what_its_programs_print() {
    let mut reader = Reader::with_built();
    // The last programs are a test of their own, and none.
    for page in markdown().iter().take(6) {
        reader.read(&of_markdown(page));
    }
}

#[test]
fn the_program_of_the_readme_is_an_example_and_prints_what_it_shows() {
    let blocks = of_markdown(&repository("README.md"));
    let is = |language: &'static str| blocks.iter().filter(move |it| it.place().0 == language);
    let example = repository("examples/quickstart/break_it.rs");
    let example = fs::read_to_string(example).unwrap();
    let (_, program) = example.split_once("\n\n").unwrap();
    assert!(is("rust").any(|it| it.text == program));
    let shown: Vec<_> = is("text").map(|it| &*it.text).collect();
    let redis = is("sh").find(|it| it.text.starts_with("redis-server"));
    let redis = &*redis.unwrap().text;

    let mut reader = Reader::with_built();
    reader.run("redis", redis.trim());
    reader.export("export TIDINGS_URL=redis://127.0.0.1:6400");
    reader.run("program", &built("examples/break-it").display().to_string());
    reader.see("program", shown[0]);
    reader.press("redis", "Ctrl-C");
    reader.run("redis", redis.trim());
    reader.see("program", shown[1]);
}

#[test]
#[ignore = "needs the rendered pages and packaged crates: `cargo xtask book --reader`"]
fn a_reader_with_nothing_but_the_rendered_pages_gets_through_part_one() {
    // `cargo xtask book --reader` has put the packaged crates there.
    let folder = std::env::temp_dir().join("tidings-reader");
    let begin = Instant::now();
    let mut reader = Reader::new(Programs::FromPages, folder, Sandbox::new());
    for page in pages(&repository("target/book/tutorial"), "html") {
        reader.read(&of_html(&page));
        let name = page.file_stem().unwrap_or_default().display();
        println!("{name}: after {:.0?}", begin.elapsed());
    }
    drop(reader);
    let took = begin.elapsed();
    println!("part one takes {took:.0?}");
    assert!(took < LIMIT, "that is more than {LIMIT:?}");
}

#[test]
fn the_changes_of_each_page_make_the_program_of_its_step() {
    let mut file = String::new();
    for (at, page) in markdown().iter().take(7).enumerate() {
        for block in of_markdown(page) {
            file = changed(&file, &block);
        }
        let name = format!("examples/tutorial/step_{}.rs", at + 1);
        let step = fs::read_to_string(repository(&name)).unwrap();
        let lines = step.lines().filter(|line| !line.starts_with("//"));
        let step = lines.collect::<Vec<_>>().join("\n");
        assert_eq!(by_name(&file), by_name(&step), "{name}");
    }
}

#[test]
fn part_one_is_short() {
    let (mut words, mut lines) = (0, 0);
    let mut commands = Vec::new();
    for page in markdown() {
        let text = fs::read_to_string(&page).unwrap();
        let prose = text.split("```").step_by(2);
        words += prose
            .map(|text| text.split_whitespace().count())
            .sum::<usize>();
        for block in of_markdown(&page) {
            let is_pasted = |line: &&str| match block.place().0 {
                "toml" | "rust" if !is_copy(&block) => !line.trim().is_empty(),
                "diff" => line.starts_with('+'),
                _ => false,
            };
            lines += block.text.lines().filter(is_pasted).count();
            if block.place().0 == "sh" {
                commands.extend(block.text.lines().map(str::to_owned));
            }
        }
    }
    commands.sort();
    commands.dedup();
    let commands = commands.len();
    println!("{words} words, {lines} lines to paste, {commands} commands");
    assert!(words <= WORDS && lines <= LINES && commands <= COMMANDS);
}

fn markdown() -> Vec<PathBuf> {
    pages(&repository("docs/src/tutorial"), "md")
}
