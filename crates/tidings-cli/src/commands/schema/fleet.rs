//! The contracts of the members that run now.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tidings::{Bus, Member};
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::commands::schema::source::{Read, parse};
use crate::connect::connect;
use crate::inspect::inspect;
use crate::terminal::escape;

/// The time for the contracts of all members together, if `--timeout` is not longer.
const TIME: Duration = Duration::from_secs(30);

/// The most members that are named for one contract.
const NAMED: usize = 8;

/// The contracts that the members responded with.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    /// One for each contract that is not that of the file.
    pub(super) contracts: Vec<Read>,
    /// True if a member did not answer, or what it says cannot be read.
    pub(super) is_partial: bool,
}

/// Asks the members for their contracts. Those with this hash need not be compared.
pub(super) async fn contracts(app: &App, hash: &str) -> anyhow::Result<Fleet> {
    let settings = app.settings()?;
    let bus = connect(app, &settings).await?;
    let members = bus.members().await?;
    let total = members.len();
    let inspections = inspect(&bus, members, app.global.patience()).await;
    let mut fleet = Fleet::default();
    let (mut groups, mut unknown) = (BTreeMap::<String, Vec<&Member>>::new(), Vec::new());
    for inspected in &inspections.members {
        let member = &inspected.member;
        let inspection = inspected.inspection();
        match inspection.and_then(|it| it.contract.clone()) {
            Some(other) => groups.entry(other).or_default().push(member),
            None => unknown.push(escape(&member.name)),
        }
        fleet.is_partial |= inspected.has_failed();
    }
    let equal = groups.remove(hash).map_or(0, |members| members.len());
    app.remark(format_args!(
        "members with this contract: {equal} of {total}"
    ));
    if !unknown.is_empty() {
        let names = unknown.join(", ");
        app.warn(&format!(
            "no contract is known of {names}: no answer, or no feature `schema`"
        ));
    }
    let deadline = Instant::now() + TIME.max(app.global.timeout);
    for (hash, members) in &groups {
        match contract_of(app, &bus, hash, members, deadline).await {
            Some(read) => fleet.contracts.push(read),
            None => fleet.is_partial = true,
        }
    }
    Ok(fleet)
}

/// Asks members with the same contract for it, until one tells it. `None` if none of them does.
async fn contract_of(
    app: &App,
    bus: &Bus,
    hash: &str,
    members: &[&Member],
    deadline: Instant,
) -> Option<Read> {
    for member in members {
        match told_by(bus, member, deadline).await {
            Ok(text) => match read_as(hash, names_of(members), text) {
                Ok(read) => return Some(read),
                Err(why) => app.warn(&why),
            },
            Err(why) => app.warn(&format!(
                "{} did not tell its contract: {why}",
                escape(&member.name)
            )),
        }
    }
    None
}

/// Asks a member for its contract, or returns why it did not tell it.
async fn told_by(bus: &Bus, member: &Member, deadline: Instant) -> Result<String, String> {
    let Ok(response) = timeout_at(deadline, bus.contract_of(member.id)).await else {
        return Err("there was no time left".to_owned());
    };
    let response = response.map_err(|error| escape(tidings::report(&error)))?;
    response
        .value
        .map_err(|error| escape(tidings::report(&error)))
}

/// Reads the contract of members that announced this hash.
fn read_as(hash: &str, name: String, text: String) -> Result<Read, String> {
    let read = parse(name, text).map_err(|problem| problem.to_string())?;
    if read.contract.is_as_written && read.contract.hash == hash {
        return Ok(read);
    }
    Err(format!(
        "cannot read {}: it is not the contract that was announced",
        read.name
    ))
}

/// Returns the names of members, with their versions.
fn names_of(members: &[&Member]) -> String {
    let (first, others) = members.split_at(members.len().min(NAMED));
    let names = first.iter().map(|member| {
        let version = member.version.as_deref();
        let version = version.map(|it| format!(" ({})", escape(it)));
        escape(&member.name) + &version.unwrap_or_default()
    });
    let mut names = names.collect::<Vec<_>>().join(", ");
    if !others.is_empty() {
        let _ = write!(names, " and {} more", others.len());
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::contract::with_hash;

    #[test]
    fn what_is_not_the_announced_contract_is_refused() {
        let text = with_hash(json!({ "events": { "it": { "opaque": true } } }));
        let hash = parse("job-1".to_owned(), text.clone())
            .unwrap()
            .contract
            .hash;
        let read = |hash: &str, text: &str| read_as(hash, "job-1".to_owned(), text.to_owned());
        assert!(read(&hash, &text).is_ok());
        let other = read("0123456789abcdef", &text).unwrap_err();
        assert_eq!(
            other,
            "cannot read job-1: it is not the contract that was announced"
        );
        assert!(read(&hash, &text.replace("true", "false")).is_err());
        for garbage in ["", "null", "[]", "{\"tidings\":2}"] {
            let error = read(&hash, garbage).unwrap_err();
            assert!(error.starts_with("cannot read job-1: "), "{error}");
        }
    }
}
