//! The arguments of `tidings`, and its help.

mod bench;
mod completions;
mod console;
mod context;
mod events;
mod fleet;
mod global;
mod journal;
mod man;
mod schema;
mod state;
mod workers;

use std::fmt::Write as _;
use std::time::Duration;

use clap::builder::StyledStr;
use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::terminal::{Style, escape_lines, print_labeled};

pub(crate) use self::bench::Bench;
pub(crate) use self::completions::Completions;
pub(crate) use self::console::Console;
#[cfg(feature = "console")]
pub(crate) use self::console::Mask;
pub(crate) use self::context::{Context, ContextAction};
pub(crate) use self::events::{Listen, PayloadArgs, Request, Send, Speed, To};
pub(crate) use self::fleet::{Acl, Doctor, Failover, Members, Servers};
pub(crate) use self::global::Global;
pub(crate) use self::journal::{Journal, JournalAction};
pub(crate) use self::man::Man;
pub(crate) use self::schema::{
    AsyncApiVersion, Check, Diff, Export, ReportFormat, Schema, SchemaAction,
};
pub(crate) use self::state::{Counter, CounterAction, Map, MapAction, State, StateAction};
pub(crate) use self::workers::{Format, Ps, Reload, Run, Scale, Stop, strategy};

/// See and send the events of a fleet, operate it, and run its workers.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Send(Send),
    Listen(Listen),
    Request(Request),
    Bench(Bench),
    Journal(Journal),
    State(State),
    Map(Map),
    Counter(Counter),
    Members(Members),
    Servers(Servers),
    Doctor(Doctor),
    Failover(Failover),
    Acl(Acl),
    Schema(Schema),
    Console(Console),
    Run(Box<Run>),
    Ps(Ps),
    Reload(Reload),
    Scale(Scale),
    Stop(Stop),
    Context(Context),
    Completions(Completions),
    Man(Man),
}

/// The commands below their headings in the help, because clap cannot group commands.
const GROUPS: [(&str, &[&str]); 8] = [
    ("Events", &["send", "listen", "request", "bench"]),
    ("Journal", &["journal"]),
    ("State", &["state", "map", "counter"]),
    (
        "Fleet",
        &["members", "servers", "doctor", "failover", "acl"],
    ),
    ("Contract", &["schema"]),
    ("Look", &["console"]),
    ("Workers", &["run", "ps", "reload", "scale", "stop"]),
    ("Itself", &["context", "completions", "man"]),
];

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it failed, and nothing happened
  2  the arguments or the settings are not valid
  3  done in part: a member or a worker failed, did not respond or had to be killed;
     `doctor` found an error, `schema check` a break, `schema lint` a remark
  4  unknown: it may have been sent, counted or changed
  5  no member, value or key has this name, id or role, no member handles the event, or there is no
     journal";

/// Parses the arguments of this process, or ends it with help or an error.
pub(crate) fn parse() -> Args {
    let parsed = command().try_get_matches().and_then(|matches| {
        let mut args = Args::from_arg_matches(&matches)?;
        let given = matches.value_source("timeout");
        args.global.has_timeout = given == Some(ValueSource::CommandLine);
        Ok(args)
    });
    parsed.unwrap_or_else(|error| exit(&error))
}

/// Ends the process with the error of clap, which repeats arguments as they are.
fn exit(error: &clap::Error) -> ! {
    let text = error.render().to_string();
    let escaped = escape_lines(&text);
    if escaped.trim_end() == text.trim_end() {
        error.exit();
    }
    let text = escaped.strip_prefix("error: ").unwrap_or(&escaped);
    print_labeled(Style::Error, "error", text);
    std::process::exit(error.exit_code());
}

/// Returns the command with its help.
pub(crate) fn command() -> clap::Command {
    let command = Args::command();
    let template = template(&command);
    command.help_template(template).after_help(EXIT_CODES)
}

fn template(command: &clap::Command) -> StyledStr {
    let styles = command.get_styles();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let names = command.get_subcommands().map(clap::Command::get_name);
    let width = names.map(str::len).max().unwrap_or_default();
    let mut text = "{about}\n\n{usage-heading} {usage}\n".to_owned();
    for (heading, names) in GROUPS {
        let _ = write!(text, "\n{header}{heading}:{header:#}\n");
        for name in names {
            let about = command
                .find_subcommand(name)
                .and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {literal}{name:width$}{literal:#}  {about}");
        }
    }
    let _ = write!(
        text,
        "\n{header}Options:{header:#}\n{{options}}{{after-help}}"
    );
    text.into()
}

/// Parses a time such as `500ms` or `10s`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text);
    time.map_err(|_| "expected a number with a unit, such as `500ms`, `10s` or `2m`".to_owned())
}

/// Parses a time in which something must happen.
pub(super) fn time_above_zero(text: &str) -> Result<Duration, String> {
    match time(text)? {
        Duration::ZERO => Err("expected a time above zero".to_owned()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(time("0s"), Ok(Duration::ZERO));
        assert!(time_above_zero("0s").is_err() && time_above_zero("1ns").is_ok());
        assert!(time("10").is_err() && time("-1s").is_err() && time("soon").is_err());
    }

    #[test]
    fn each_command_is_in_one_group_of_the_help() {
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|group| group.1).collect();
        grouped.sort();
        let command = command();
        let mut names: Vec<_> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        names.sort_unstable();
        assert!(grouped.iter().copied().eq(&names), "{grouped:?} {names:?}");
    }

    /// Splits a line of a shell that has no other quotes than single ones.
    fn words(line: &str) -> Vec<String> {
        let parts = line.split('\'').enumerate();
        let mut words = vec![String::new()];
        for (index, part) in parts {
            if index % 2 == 1 {
                words.last_mut().unwrap().push_str(part);
                continue;
            }
            for (index, word) in part.split(' ').enumerate() {
                if index > 0 {
                    words.push(String::new());
                }
                words.last_mut().unwrap().push_str(word);
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn each_command_has_two_examples_that_can_be_parsed() {
        for one in command().get_subcommands() {
            let name = one.get_name();
            let help = one
                .get_after_help()
                .unwrap_or_else(|| panic!("{name} has no examples"));
            let help = help.to_string();
            let (_, examples) = help.split_once("Examples:\n").unwrap();
            let examples = examples.lines().map(str::trim);
            let examples: Vec<_> = examples.filter(|line| line.contains("tidings ")).collect();
            assert!(examples.len() >= 2, "{name}");
            for line in examples {
                let start = line.find("tidings ").unwrap();
                let line = line[start..].split(" | ").next().unwrap();
                let line = line
                    .split(" < ")
                    .next()
                    .unwrap()
                    .split(" > ")
                    .next()
                    .unwrap();
                let parsed = command().try_get_matches_from(words(line));
                let parsed = parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
                assert_eq!(parsed.subcommand_name(), Some(name), "{line}");
            }
        }
    }
}
