//! Part one of the book and the program of the README, as a reader does them.
//!
//! The test reads the blocks of the pages `docs/src/tutorial` in their order, with the words after
//! the language:
//!
//! | block | the reader |
//! | --- | --- |
//! | `toml`, `rust`, `diff` | changes `Cargo.toml` or `src/main.rs` |
//! | `rust,delete=A+B` | also deletes these items |
//! | `txt,prices` | saves the file `prices.txt` |
//! | `sh,TERMINAL` | types these commands in this terminal; in all for `all` |
//! | `keys,TERMINAL` | presses these keys there |
//! | `text,TERMINAL` | sees these lines there next. `…` stands for any lines |
//!
//! `blot` says what is not compared. The ordinary test runs the programs of `examples/tutorial`
//! instead of building them; the long one takes the rendered pages and builds all in an empty folder.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tidings_testkit::free_port;

use super::blocks::{Block, of_html, of_markdown, pages, repository};
use super::editor::{apply, by_name, delete, paste};
use super::terminal::Terminal;
use crate::support::Sandbox;

/// The port that the pages have.
const PORT: &str = "6400";

/// The limits of part one.
const WORDS: usize = 1_600;
const LINES: usize = 120;
const COMMANDS: usize = 14;

/// The processor time that all of it may take.
const MACHINE_TIME: Duration = Duration::from_mins(8);

/// The deadline of a command of it: other programs may use the processors, too.
const PATIENCE: Duration = Duration::from_mins(30);

/// The way in which the reader gets programs.
#[derive(Clone, Copy, PartialEq)]
enum Programs {
    /// The test run has built them.
    Built,
    /// Cargo builds them from the text of the pages.
    FromPages,
}

struct Reader {
    programs: Programs,
    /// The parent of the folder `shop`.
    folder: PathBuf,
    sandbox: Sandbox,
    port: String,
    variables: Vec<(String, String)>,
    terminals: HashMap<String, Terminal>,
    /// The last command of each terminal.
    last: HashMap<String, String>,
    page: usize,
}

#[test]
fn part_one_shows_what_its_programs_print() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("reader");
    fs::create_dir_all(folder.join("shop")).unwrap();
    let mut reader = Reader::new(Programs::Built, folder, sandbox);
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

    let sandbox = Sandbox::new();
    let folder = sandbox.path("reader");
    fs::create_dir_all(folder.join("shop")).unwrap();
    let mut reader = Reader::new(Programs::Built, folder, sandbox);
    reader.run("redis", redis.trim());
    reader.export(&format!("export TIDINGS_URL=redis://127.0.0.1:{PORT}"));
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
    let took = machine_time();
    println!("part one takes {took:.0?} of processor time");
    assert!(took < MACHINE_TIME, "that is more than {MACHINE_TIME:?}");
}

/// Returns the processor time of all commands that have ended.
fn machine_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The name of the program, in parentheses, may contain spaces.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields
        .split(' ')
        .skip(13)
        .take(2)
        .map(|it| it.parse::<u64>().unwrap());
    Duration::from_millis(10 * ticks.sum::<u64>())
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

/// Returns whether a block shows a whole file again.
fn is_copy(block: &Block) -> bool {
    block.has("file")
}

/// Returns `src/main.rs` after a block.
fn changed(file: &str, block: &Block) -> String {
    match block.place().0 {
        "rust" if !is_copy(block) => delete(&paste(file, &block.text), &block.deleted()),
        "diff" if !block.has("wrong") => apply(file, &block.text),
        _ => file.to_owned(),
    }
}

impl Reader {
    fn new(programs: Programs, folder: PathBuf, sandbox: Sandbox) -> Self {
        Self {
            programs,
            folder,
            sandbox,
            port: free_port().to_string(),
            variables: Vec::new(),
            terminals: HashMap::new(),
            last: HashMap::new(),
            page: 0,
        }
    }

    fn read(&mut self, page: &[Block]) {
        self.page += 1;
        for block in page {
            match block.place() {
                _ if block.has("wrong") => self.try_wrong(block),
                ("toml", _) => self.add_dependencies(&block.text),
                ("rust" | "diff", _) => self.edit(|file| changed(file, block)),
                ("txt", name) => {
                    let name = format!("{name}.txt");
                    fs::write(self.shop().join(name), &block.text).unwrap();
                }
                ("sh", "all") => self.export(&block.text),
                ("sh", terminal) => {
                    for line in block.text.lines() {
                        self.run(terminal, line);
                    }
                }
                ("keys", terminal) => self.press(terminal, block.text.trim()),
                ("text", terminal) => self.see(terminal, &block.text),
                (language, _) => panic!("a reader cannot do anything with `{language}`"),
            }
        }
    }

    fn shop(&self) -> PathBuf {
        self.folder.join("shop")
    }

    fn deadline(&self) -> Duration {
        match self.programs {
            Programs::Built => Duration::from_secs(30),
            Programs::FromPages => PATIENCE,
        }
    }

    fn add_dependencies(&self, dependencies: &str) {
        if self.programs == Programs::Built {
            return;
        }
        let path = self.shop().join("Cargo.toml");
        let manifest = fs::read_to_string(&path).unwrap();
        fs::write(path, manifest.replace("[dependencies]\n", dependencies)).unwrap();
    }

    fn edit(&self, change: impl FnOnce(&str) -> String) {
        if self.programs == Programs::Built {
            return;
        }
        let path = self.shop().join("src/main.rs");
        let file = fs::read_to_string(&path).unwrap();
        fs::write(path, change(&file)).unwrap();
    }

    /// Makes a mistake, sees the error, and takes it back.
    fn try_wrong(&mut self, block: &Block) {
        if self.programs == Programs::Built {
            return;
        }
        if block.has("diff") {
            let path = self.shop().join("src/main.rs");
            let right = fs::read_to_string(&path).unwrap();
            fs::write(&path, apply(&right, &block.text)).unwrap();
            self.run("wrong", "cargo run");
            let deadline = self.deadline();
            self.terminals.get_mut("wrong").unwrap().finish(deadline);
            fs::write(path, right).unwrap();
        } else {
            self.see("wrong", &block.text);
        }
    }

    fn export(&mut self, lines: &str) {
        let lines = lines
            .lines()
            .map(|line| line.strip_prefix("export ").unwrap());
        let variables = lines.map(|line| line.split_once('=').unwrap());
        let variables = variables.map(|(name, value)| (name.to_owned(), self.typed(value)));
        self.variables = variables.collect();
    }

    /// The line with the port of this run.
    fn typed(&self, line: &str) -> String {
        line.replace(PORT, &self.port)
    }

    fn run(&mut self, terminal: &str, line: &str) {
        let Some(mut shell) = self.shell(line) else {
            return;
        };
        let deadline = self.deadline();
        let place = self.terminals.entry(terminal.to_owned()).or_default();
        if line == "fg" {
            return place.signal(Signal::CONT);
        }
        place.run(&mut shell, deadline);
        self.last.insert(terminal.to_owned(), line.to_owned());
        if line.starts_with("cargo new") {
            place.finish(deadline);
        }
    }

    /// Returns the command of a line; `None` if the test run has done it.
    fn shell(&self, line: &str) -> Option<Command> {
        let line = match self.programs {
            Programs::FromPages => self.typed(line),
            Programs::Built => {
                let done = ["cargo install", "cargo new"];
                if done.iter().any(|done| line.starts_with(done)) {
                    return None;
                }
                let line = match line.strip_prefix("cargo run") {
                    None => line.to_owned(),
                    Some(arguments) => {
                        let program = built(&format!("examples/tutorial-{}", self.page));
                        let arguments = arguments.trim_start_matches(" -q --");
                        format!("{}{arguments}", program.display())
                    }
                };
                self.typed(&line)
            }
        };
        let mut shell = self.sandbox.command_of("sh");
        let folder = match self.shop() {
            shop if shop.exists() && !line.starts_with("cargo install") => shop,
            _ => self.folder.clone(),
        };
        let mut path = self.folder.join("installed/bin").into_os_string();
        if self.programs == Programs::Built {
            path = built("").into_os_string();
        }
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        shell.current_dir(folder).env("PATH", path);
        shell.envs(self.variables.iter().cloned());
        if self.programs == Programs::FromPages {
            // A reader's own folder, and none of the variables of this test run.
            shell.env("HOME", std::env::var_os("HOME").unwrap_or_default());
            shell.env("CARGO_INSTALL_ROOT", self.folder.join("installed"));
            shell.env_remove("CARGO_TARGET_DIR");
        }
        // Signals are for the program, not for a shell around it.
        let line = if line.contains("&&") {
            line
        } else {
            format!("exec {line}")
        };
        shell.args(["-c", &format!("exec 2>&1; {line}")]);
        Some(shell)
    }

    fn press(&mut self, terminal: &str, keys: &str) {
        let deadline = self.deadline();
        let place = self.terminals.get_mut(terminal).unwrap();
        match keys {
            "Ctrl-C" => {
                place.signal(Signal::INT);
                place.finish(deadline);
            }
            "Ctrl-Z" => place.signal(Signal::STOP),
            other => panic!("{other} are no keys of this test"),
        }
    }

    fn see(&mut self, terminal: &str, text: &str) {
        let expected: Vec<_> = text.lines().collect();
        let end = Instant::now() + self.deadline();
        let port = self.port.clone();
        let as_shown = |line: &str| as_on_the_page(&line.replace(&port, PORT));
        loop {
            let place = self.terminals.get_mut(terminal).unwrap();
            if place.shows(&expected, as_shown) {
                return;
            }
            let printed = place.unseen().join("\n");
            assert!(
                Instant::now() < end,
                "page {} shows in the {terminal} terminal\n{text}\nand not\n{printed}",
                self.page
            );
            std::thread::sleep(Duration::from_millis(20));
            self.look_again(terminal);
        }
    }

    /// Runs a command that only looks once more: a reader is slower than this test.
    fn look_again(&mut self, terminal: &str) {
        let last = self.last.get(terminal).cloned().unwrap_or_default();
        if ["tidings members", "tidings state get prices"].contains(&&*last) {
            let deadline = self.deadline();
            self.terminals.get_mut(terminal).unwrap().forget(deadline);
            self.run(terminal, &last);
            self.terminals.get_mut(terminal).unwrap().finish(deadline);
        }
    }
}

/// A file that cargo has built beside the program `tidings`.
fn built(path: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_tidings"));
    let built = program.parent().unwrap().join(path);
    assert!(
        built.exists(),
        "{} is not built: run `cargo build -p tidings-tutorial -p tidings-quickstart --examples`",
        built.display()
    );
    built
}

/// Replaces what belongs to this machine, or to this moment: a sender that has left has no name.
fn as_on_the_page(line: &str) -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let line = line.replace("  office  price.set", "  e0564a80  price.set");
    let words = line
        .split(' ')
        .map(|word| if word == host { "web-3" } else { word });
    words.collect::<Vec<_>>().join(" ")
}
