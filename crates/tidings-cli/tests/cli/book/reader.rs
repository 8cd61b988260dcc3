//! A reader of the book, who does what the blocks of a page say and sees what they show.
//!
//! The words after the language of a block say what it is:
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
//! `blot` says what is not compared.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tidings_testkit::free_port;

use super::blocks::{Block, pages, repository};
use super::editor::{apply, delete, paste};
use super::terminal::Terminal;
use crate::support::Sandbox;

/// The ports that the pages have: of Redis, and of web services.
const PORTS: [&str; 4] = ["6400", "8080", "8081", "8082"];

/// The deadline of a command of it: other programs may use the processors, too.
const PATIENCE: Duration = Duration::from_mins(30);

/// The way in which the reader gets programs.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Programs {
    /// The test run has built them.
    Built,
    /// Cargo builds them from the text of the pages.
    FromPages,
}

pub(super) struct Reader {
    programs: Programs,
    /// The parent of the folder `shop`.
    folder: PathBuf,
    sandbox: Sandbox,
    /// The ports of this run.
    ports: Vec<String>,
    variables: Vec<(String, String)>,
    terminals: HashMap<String, Terminal>,
    /// The last command of each terminal.
    last: HashMap<String, String>,
    page: usize,
}

/// Returns whether a block shows a whole file again.
pub(super) fn is_copy(block: &Block) -> bool {
    block.has("file")
}

/// Returns `src/main.rs` after a block.
pub(super) fn changed(file: &str, block: &Block) -> String {
    match block.place().0 {
        "rust" if !is_copy(block) => delete(&paste(file, &block.text), &block.deleted()),
        "diff" if !block.has("wrong") => apply(file, &block.text),
        _ => file.to_owned(),
    }
}

impl Reader {
    /// A reader in an empty folder, with the programs that the test run has built.
    pub(super) fn with_built() -> Self {
        let sandbox = Sandbox::new();
        let folder = sandbox.path("reader");
        let examples = folder.join("shop/target/debug/examples");
        fs::create_dir_all(&examples).unwrap();
        // One program has the modules of `examples/shop`, except for `handlers`.
        for module in pages(&repository("examples/shop"), "rs") {
            let name = module.file_stem().unwrap();
            let of_its_own = name == "handlers";
            let program = if of_its_own { "handlers" } else { "shop" };
            let program = built(&format!("examples/{program}"));
            symlink(program, examples.join(name)).unwrap();
        }
        Self::new(Programs::Built, folder, sandbox)
    }

    pub(super) fn new(programs: Programs, folder: PathBuf, sandbox: Sandbox) -> Self {
        Self {
            programs,
            folder,
            sandbox,
            ports: PORTS.iter().map(|_| free_port().to_string()).collect(),
            variables: Vec::new(),
            terminals: HashMap::new(),
            last: HashMap::new(),
            page: 0,
        }
    }

    pub(super) fn read(&mut self, page: &[Block]) {
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
                // The test has saved these files.
                ("js" | "python", _) => {}
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

    pub(super) fn shop(&self) -> PathBuf {
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

    pub(super) fn export(&mut self, lines: &str) {
        let lines = lines
            .lines()
            .map(|line| line.strip_prefix("export ").unwrap());
        let variables = lines.map(|line| line.split_once('=').unwrap());
        let variables = variables.map(|(name, value)| (name.to_owned(), self.typed(value)));
        self.variables = variables.collect();
    }

    /// The line with the ports of this run.
    fn typed(&self, line: &str) -> String {
        let ports = self.ports.iter().map(String::as_str);
        replace_numbers(line, &PORTS.into_iter().zip(ports))
    }

    pub(super) fn run(&mut self, terminal: &str, line: &str) {
        let Some(mut shell) = self.shell(line) else {
            return;
        };
        let deadline = self.deadline();
        let place = self.terminals.entry(terminal.to_owned()).or_default();
        if line == "fg" {
            return place.signal(Signal::CONT);
        }
        // No page shows what cargo printed while it installed the command line.
        let last = self.last.get(terminal);
        if last.is_some_and(|last| last.starts_with("cargo install")) {
            place.forget(deadline);
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
                let done = [
                    "cargo build",
                    "cargo install",
                    "cargo new",
                    "npm",
                    "python3",
                    ".venv/bin/pip",
                ];
                if done.iter().any(|done| line.starts_with(done)) {
                    return None;
                }
                self.typed(&self.of_built(line))
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
        // Signals are for the program, not for a shell around it. A shell that runs the tests in the
        // background has them ignore Ctrl-C, and Python would do the same.
        let line = if line.contains("&&") {
            line
        } else {
            format!("exec env --default-signal=INT {line}")
        };
        shell.args(["-c", &format!("exec 2>&1; {line}")]);
        Some(shell)
    }

    /// The line with the program that `cargo run` would build and start.
    fn of_built(&self, line: &str) -> String {
        if let Some(example) = line.strip_prefix("cargo run -q --example ") {
            return format!("target/debug/examples/{}", example.replacen(" --", "", 1));
        }
        let Some(arguments) = line.strip_prefix("cargo run") else {
            return line.to_owned();
        };
        let program = built(&format!("examples/tutorial-{}", self.page));
        let arguments = arguments.trim_start_matches(" -q --");
        format!("{}{arguments}", program.display())
    }

    pub(super) fn press(&mut self, terminal: &str, keys: &str) {
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

    pub(super) fn see(&mut self, terminal: &str, text: &str) {
        let expected: Vec<_> = text.lines().collect();
        let end = Instant::now() + self.deadline();
        let ports = self.ports.clone();
        let as_shown = |line: &str| {
            let ports = ports.iter().map(String::as_str).zip(PORTS);
            as_on_the_page(&replace_numbers(line, &ports))
        };
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
        let looks = [
            "tidings members",
            "tidings ps",
            "tidings state get",
            "curl -s 127",
        ];
        if looks.iter().any(|look| last.starts_with(look)) {
            let deadline = self.deadline();
            self.terminals.get_mut(terminal).unwrap().forget(deadline);
            self.run(terminal, &last);
            self.terminals.get_mut(terminal).unwrap().finish(deadline);
        }
    }
}

/// Replaces whole numbers: a port of this run may contain the digits of another one.
fn replace_numbers<'a>(
    text: &str,
    numbers: &(impl Iterator<Item = (&'a str, &'a str)> + Clone),
) -> String {
    let mut replaced = String::new();
    for part in text.split_inclusive(|it: char| !it.is_ascii_digit()) {
        let number = part.trim_end_matches(|it: char| !it.is_ascii_digit());
        let other = numbers.clone().find(|(from, _)| *from == number);
        replaced.push_str(other.map_or(number, |(_, to)| to));
        replaced.push_str(&part[number.len()..]);
    }
    replaced
}

/// A file that cargo has built next to the program `tidings`.
pub(super) fn built(path: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_tidings"));
    let built = program.parent().unwrap().join(path);
    assert!(
        built.exists(),
        "{} is not built: run `cargo build -p tidings-tutorial -p tidings-quickstart -p tidings-examples --examples`",
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
    // The programs of part two are modules of one.
    let line = line.replace("(shop::", "(");
    let words = line
        .split(' ')
        .map(|word| if word == host { "web-3" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn ports_are_replaced_only_as_whole_numbers() {
    let ports = [("6400", "38081"), ("8081", "9000")].into_iter();
    let typed = replace_numbers("run --port 6400 :8081 18081 8081", &ports);
    assert_eq!(typed, "run --port 38081 :9000 18081 9000");
}
