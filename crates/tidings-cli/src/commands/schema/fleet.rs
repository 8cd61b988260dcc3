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

/// The most members that are asked for one contract. The others with the same hash are expected to
/// respond with the same text.
const TRIES: usize = 3;

/// Members whose contract is not known, and the reasons.
#[derive(Debug)]
pub(crate) struct Unknown<'a> {
    pub(crate) members: Vec<&'a Member>,
    pub(crate) reasons: Vec<String>,
}

/// Asks the members for their contracts, except those with this hash. Returns also whether a contract
/// is missing: a member did not answer, or its contract cannot be read.
pub(super) async fn contracts(app: &App, hash: &str) -> anyhow::Result<(Vec<Read>, bool)> {
    let settings = app.settings()?;
    let bus = connect(app, &settings).await?;
    let members = bus.members().await?;
    let inspected = inspect_collected(&bus, members, app.global.patience()).await;
    let deadline = Instant::now() + TIME.max(app.global.timeout);
    let members = inspected.iter().map(|it| (&it.member, contract_in(it)));
    let mut groups = by_contract(members);
    groups.remove(hash);
    let (contracts, mut unknown) = read_each(&bus, groups, deadline).await;
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
    let (unknown, left) = still_running(&bus, unknown).await;
    for one in &left {
        app.remark(format_args!("{} left", names_of(&one.members)));
    }
    for why in unknown.iter().flat_map(|it| &it.reasons) {
        app.warn(why);
    }
    Ok((contracts, !unknown.is_empty()))
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

/// Splits off the members that have all left: nothing runs with their contract any more.
pub(crate) async fn still_running<'a>(
    bus: &Bus,
    unknown: Vec<Unknown<'a>>,
) -> (Vec<Unknown<'a>>, Vec<Unknown<'a>>) {
    if unknown.is_empty() {
        return (unknown, Vec::new());
    }
    // Without the list, none of them has left.
    let running = bus.members().await.ok();
    let is_running = |member: &&Member| match &running {
        Some(running) => running.iter().any(|it| it.id == member.id),
        None => true,
    };
    let is_one_running = |it: &Unknown<'_>| it.members.iter().any(is_running);
    unknown.into_iter().partition(is_one_running)
}

/// Asks all members about themselves, and those again that have just started: they may not have
/// collected their contract yet.
async fn inspect_collected(bus: &Bus, members: Vec<Member>, patience: Duration) -> Vec<Inspected> {
    let inspected = inspect(bus, members, patience).await.members;
    let again = async |young: Vec<Inspected>| {
        sleep(PAUSE).await;
        let young = young.into_iter().map(|it| it.member).collect();
        inspect(bus, young, patience).await.members
    };
    // A member that reconnects all the time, or a foreign one, may say for ever that it is young.
    let deadline = Instant::now() + COLLECTS;
    until_none(inspected, may_still_collect, again, deadline).await
}

/// Replaces those that are young, until none is or the time is over.
async fn until_none<T>(
    mut all: Vec<T>,
    is_young: impl Fn(&T) -> bool,
    again: impl AsyncFn(Vec<T>) -> Vec<T>,
    deadline: Instant,
) -> Vec<T> {
    while Instant::now() < deadline && all.iter().any(&is_young) {
        let (young, others): (Vec<_>, Vec<_>) = all.into_iter().partition(&is_young);
        all = others;
        all.extend(again(young).await);
    }
    all
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

/// Asks for each contract. Returns those that were read, and the members of the others.
pub(crate) async fn read_each<'a>(
    bus: &Bus,
    groups: impl IntoIterator<Item = (&'a str, Vec<&'a Member>)>,
    deadline: Instant,
) -> (Vec<Read>, Vec<Unknown<'a>>) {
    let (mut read, mut unknown) = (Vec::new(), Vec::new());
    for (hash, members) in groups {
        match contract_of(bus, hash, &members, deadline).await {
            Ok(contract) => read.push(contract),
            Err(reasons) => unknown.push(Unknown { members, reasons }),
        }
    }
    (read, unknown)
}

/// Asks members with the same contract for it, until one sends it. Fails with the reason of each one
/// that was asked.
pub(crate) async fn contract_of(
    bus: &Bus,
    hash: &str,
    members: &[&Member],
    deadline: Instant,
) -> Result<Read, Vec<String>> {
    let mut reasons = Vec::new();
    for member in members.iter().take(TRIES) {
        let told = told_by(bus, member, deadline).await;
        let told = told.map_err(|why| {
            let name = escape(&member.name);
            format!("{name} did not send its contract: {why}")
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

/// Asks a member for its contract, or returns why it did not send it.
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

    #[tokio::test]
    async fn a_contract_is_asked_for_again_until_none_is_young_and_never_after_the_deadline() {
        let deadline = Instant::now() + TIME;
        let older = async |young: Vec<u32>| young.into_iter().map(|age| age + 1).collect();
        let is_young = |age: &u32| *age < 3;
        let mut ages = until_none(vec![0, 7, 2], is_young, older, deadline).await;
        ages.sort_unstable();
        assert_eq!(ages, [3, 3, 7]);
        let never = async |_: Vec<u32>| unreachable!("there is no time left");
        let ages = until_none(vec![0], is_young, never, Instant::now()).await;
        assert_eq!(ages, [0]);
    }

    #[tokio::test]
    async fn few_of_many_members_are_asked_for_a_contract_that_they_do_not_have() {
        let bus = Bus::builder("memory:few-are-asked").name("job-1");
        let bus = bus.start().await.unwrap();
        let members = bus.members().await.unwrap();
        let [member] = &members[..] else {
            unreachable!("the bus is the only member");
        };
        let deadline = Instant::now() + TIME;
        let asked = contract_of(&bus, "0123456789abcdef", &[member; 200], deadline).await;
        assert_eq!(asked.unwrap_err().len(), TRIES);
    }

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
