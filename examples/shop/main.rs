//! The programs of part two of the book in one, which is faster to build. The name under which it is
//! started selects the program: the test of the book makes a link for each.

mod ask;
mod deploy;
mod events;
mod slow;
mod web;

type Done = Result<(), Box<dyn std::error::Error>>;

fn main() -> Done {
    let path = std::env::args().next().unwrap_or_default();
    let (_, name) = path.rsplit_once('/').unwrap_or(("", &path));
    match name {
        "ask" => ask::run(),
        "deploy" => deploy::run(),
        "events" => events::run(),
        "slow" => slow::run(),
        "web" => web::run(),
        other => Err(format!("no page has a program `{other}`").into()),
    }
}
