//! The commands of `tidings`, one module each.

pub(crate) mod acl;
pub(crate) mod bench;
pub(crate) mod completions;
#[cfg(feature = "console")]
pub(crate) mod console;
#[cfg(not(feature = "console"))]
#[path = "commands/without_console.rs"]
pub(crate) mod console;
pub(crate) mod context;
pub(crate) mod counter;
pub(crate) mod doctor;
pub(crate) mod edit;
pub(crate) mod failover;
pub(crate) mod feed;
pub(crate) mod journal;
pub(crate) mod listen;
pub(crate) mod man;
pub(crate) mod map;
pub(crate) mod members;
pub(crate) mod ps;
pub(crate) mod reload;
pub(crate) mod request;
pub(crate) mod run;
pub(crate) mod scale;
pub(crate) mod schema;
pub(crate) mod send;
pub(crate) mod servers;
pub(crate) mod state;
pub(crate) mod stop;

use std::io::ErrorKind;

use tidings_supervisor::{Rejection, RemoteError, StartError, Stopped};

use crate::app::App;
use crate::args::Command;
use crate::exit::Exit;

pub(crate) async fn run_command(app: &App, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Send(send) => send::send(app, &send).await,
        Command::Listen(listen) => listen::listen(app, &listen).await,
        Command::Request(request) => request::request(app, &request).await,
        Command::Bench(bench) => bench::bench(app, &bench).await,
        Command::Journal(journal) => journal::journal(app, &journal.action).await,
        Command::State(state) => state::state(app, &state.action).await,
        Command::Map(map) => map::map(app, &map.action).await,
        Command::Counter(counter) => counter::counter(app, &counter.action).await,
        Command::Members(members) => members::members(app, &members).await,
        Command::Servers(_) => servers::servers(app).await,
        Command::Doctor(_) => doctor::doctor(app).await,
        Command::Failover(failover) => failover::failover(app, &failover).await,
        Command::Console(console) => console::console(app, &console).await,
        Command::Acl(acl) => acl::acl(app, &acl),
        Command::Schema(schema) => schema::schema(app, &schema.action).await,
        Command::Run(run) => run::run(app, &run).await,
        Command::Ps(ps) => ps::ps(app, &ps).await,
        Command::Reload(reload) => reload::reload(app, &reload).await,
        Command::Scale(scale) => scale::scale(app, &scale).await,
        Command::Stop(stop) => stop::stop(app, &stop).await,
        Command::Completions(completions) => completions::completions(&completions),
        Command::Man(man) => man::man(app, &man),
        Command::Context(context) => context::context(app, &context.action),
    }
}

fn exit_of(stopped: Stopped) -> Exit {
    match stopped {
        Stopped {
            all_failed: true, ..
        } => Exit::Failed,
        Stopped { killed: 0, .. } => Exit::Done,
        _ => Exit::Incomplete,
    }
}

/// Returns what the user can do about an error of a supervisor.
pub(crate) fn supervisor_help(error: &anyhow::Error) -> Option<String> {
    let start = error.downcast_ref::<StartError>().and_then(|it| match it {
        StartError::NameTaken { name } => Some(format!(
            "choose another name with `--name`, or stop the other supervisor with `tidings stop {name}`"
        )),
        StartError::User { .. } => Some("run the command as root".to_owned()),
        StartError::RuntimeDir { .. } => {
            Some("set TIDINGS_RUNTIME_DIR to a directory that you own".to_owned())
        }
        _ => None,
    });
    start.or_else(|| match error.downcast_ref::<RemoteError>()? {
        RemoteError::NoneRunning { .. } => {
            Some("start one with `tidings run -- PROGRAM`".to_owned())
        }
        RemoteError::SeveralRunning(_) => {
            Some("add the name of the supervisor to the command".to_owned())
        }
        RemoteError::NotFound { .. } => Some("list all supervisors with `tidings ps`".to_owned()),
        error if is_of_other_version(error) => Some(
            "the supervisor may have another version: use the `tidings` that started it, or start it \
             again with this one"
                .to_owned(),
        ),
        _ => None,
    })
}

/// Returns whether one side did not understand the other.
fn is_of_other_version(error: &RemoteError) -> bool {
    match error {
        RemoteError::Rejected { kind, .. } => *kind == Rejection::InvalidRequest,
        RemoteError::Unreachable { source, .. } => source.kind() == ErrorKind::InvalidData,
        _ => false,
    }
}
