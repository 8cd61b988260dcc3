//! The contracts of the members that run now.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tidings::{Bus, Member};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};

use crate::app::App;
use crate::commands::schema::source::{Read, parse};
use crate::connect::connect;
use crate::inspect::{Inspected, inspect};
use crate::terminal::escape;

/// The time for the contracts of all members together, if `--timeout` is not longer.
pub(crate) const TIME: Duration = Duration::from_secs(30);

/// The most members that are named for one contract.
const NAMED: usize = 8;

/// The time after its start in which a program may still collect its contract.
const COLLECTS: Duration = Duration::from_secs(5);

/// The pause before such a member is asked again: it makes a new inspection at most once a second.
const PAUSE: Duration = Duration::from_millis(1100);

/// The contracts that the members responded with.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    /// One for each contract that is not that of the file.
    pub(crate) contracts: Vec<Read>,
    /// True if a member did not answer, or what it says cannot be read.
    pub(crate) is_partial: bool,
}

/// Members whose contract is not known, and the reasons.
#[derive(Debug)]
struct Unknown<'a> {
    members: Vec<&'a Member>,
    reasons: Vec<String>,
}

/// Asks the members for their contracts. Those with this hash need not be compared.
pub(crate) async fn contracts(app: &App, hash: &str) -> anyhow::Result<Fleet> {
    let settings = app.settings()?;
    let bus = connect(app, &settings).await?;
    let members = bus.members().await?;
    let inspected = inspect_collected(&bus, members, app.global.patience()).await;
    let deadline = Instant::now() + TIME.max(app.global.timeout);
    let mut fleet = Fleet::default();
    let mut unknown = Vec::new();
    let members = inspected.iter().map(|it| (&it.member, contract_in(it)));
    for (other, members) in by_contract(members) {
        if other == hash {
            continue;
        }
        match contract_of(&bus, other, &members, deadline).await {
            Ok(read) => fleet.contracts.push(read),
            Err(reasons) => unknown.push(Unknown { members, reasons }),
        }
    }
    let is_equal = |it: &&Inspected| contract_in(it) == Some(hash);
    let equal = inspected.iter().filter(is_equal).count();
    app.remark(format_args!(
        "members with this contract: {equal} of {}",
        inspected.len()
    ));
    warn_of_those_without(app, &inspected);
    let silent = inspected.iter().filter(|it| it.has_failed());
    unknown.extend(silent.map(|it| Unknown {
        members: vec![&it.member],
        reasons: vec![format!(
            "no contract is known of {}: {}",
            escape(&it.member.name),
            it.why_not().unwrap_or_default()
        )],
    }));
    fleet.is_partial = report_unknown(app, &bus, &unknown).await;
    Ok(fleet)
}

/// Warns of the members that do not say their contract. They are no fault.
fn warn_of_those_without(app: &App, inspected: &[Inspected]) {
    let without = inspected.iter().filter(|it| !it.has_failed());
    let without = without.filter(|it| contract_in(it).is_none());
    let names: Vec<_> = without.map(|it| escape(&it.member.name)).collect();
    if !names.is_empty() {
        let names = names.join(", ");
        app.warn(&format!(
            "no contract is known of {names}: built without the feature `schema`, or inspection is off"
        ));
    }
}

/// Warns of the members whose contract should be known, and returns whether one of them still runs.
async fn report_unknown(app: &App, bus: &Bus, unknown: &[Unknown<'_>]) -> bool {
    if unknown.is_empty() {
        return false;
    }
    // A member that left in the meantime does not run with its contract any more. Without the list,
    // none of them did.
    let running = bus.members().await.ok();
    let is_running = |member: &&Member| match &running {
        Some(running) => running.iter().any(|it| it.id == member.id),
        None => true,
    };
    let mut is_partial = false;
    for one in unknown {
        if one.members.iter().any(is_running) {
            one.reasons.iter().for_each(|why| app.warn(why));
            is_partial = true;
        } else {
            app.remark(format_args!("{} left", names_of(&one.members)));
        }
    }
    is_partial
}

/// Asks all members about themselves, and those again that have just started: they may not have
/// collected their contract yet.
async fn inspect_collected(bus: &Bus, members: Vec<Member>, patience: Duration) -> Vec<Inspected> {
    let mut inspected = inspect(bus, members, patience).await.members;
    while inspected.iter().any(may_still_collect) {
        sleep(PAUSE).await;
        let (young, mut others): (Vec<_>, Vec<_>) =
            inspected.into_iter().partition(may_still_collect);
        let young = young.into_iter().map(|it| it.member).collect();
        others.extend(inspect(bus, young, patience).await.members);
        inspected = others;
    }
    inspected
}

fn may_still_collect(inspected: &Inspected) -> bool {
    let Some(inspection) = inspected.inspection() else {
        return false;
    };
    let connected = inspection.health.since;
    inspection.contract.is_none() && connected.is_some_and(|it| it < COLLECTS)
}

fn contract_in(inspected: &Inspected) -> Option<&str> {
    inspected.inspection()?.contract.as_deref()
}

/// Returns the members of each contract, by its hash.
pub(crate) fn by_contract<'a>(
    members: impl Iterator<Item = (&'a Member, Option<&'a str>)>,
) -> BTreeMap<&'a str, Vec<&'a Member>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for (member, hash) in members {
        if let Some(hash) = hash {
            groups.entry(hash).or_default().push(member);
        }
    }
    groups
}

/// Asks members with the same contract for it, until one tells it. Fails with the reason of each one.
pub(crate) async fn contract_of(
    bus: &Bus,
    hash: &str,
    members: &[&Member],
    deadline: Instant,
) -> Result<Read, Vec<String>> {
    let mut reasons = Vec::new();
    for member in members {
        let told = told_by(bus, member, deadline).await;
        let told = told.map_err(|why| {
            let name = escape(&member.name);
            format!("{name} did not tell its contract: {why}")
        });
        let read = match told {
            Ok(text) => read_apart(hash.to_owned(), names_of(members), text).await,
            Err(why) => Err(why),
        };
        match read {
            Ok(read) => return Ok(read),
            Err(why) => reasons.push(why),
        }
    }
    Err(reasons)
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

/// Reads a contract on a thread of its own: a large one takes longer than a task may block.
async fn read_apart(hash: String, name: String, text: String) -> Result<Read, String> {
    let reading = spawn_blocking(move || read_as(&hash, name, text));
    let read = reading.await;
    read.unwrap_or_else(|_| Err("reading the contract ended with a panic".to_owned()))
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
pub(crate) fn names_of(members: &[&Member]) -> String {
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
