//! Checks of the members, from what they say of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::{Duration, SystemTime};

use tidings::{HandlerInspection, Inspection, Member};

use crate::commands::doctor::command::quoted;
use crate::commands::doctor::facts::{Facts, Silence};
use crate::commands::doctor::finding::{Finding, joined};
use crate::terminal::{age, count};

/// The age at which a gap or failure is no finding any more.
const RECENT: Duration = Duration::from_hours(1);

/// The longest call that is no finding.
const SLOW: Duration = Duration::from_secs(5);

/// The time that a reader of the journal may be behind.
const FAR_BEHIND: Duration = Duration::from_secs(10);

/// The members with their inspections.
fn inspected(facts: &Facts) -> impl Iterator<Item = (&Member, &Inspection)> {
    let all = facts.members().iter();
    all.filter_map(|member| Some((member, facts.fleet.inspections.get(&member.id)?)))
}

/// Looks at each member that answered; `ok` is the text if there is no finding.
fn each(
    facts: &Facts,
    ok: &str,
    look: impl Fn(&Member, &Inspection) -> Option<Finding>,
) -> Vec<Finding> {
    let mut inspected = inspected(facts).peekable();
    if inspected.peek().is_none() {
        return Vec::new();
    }
    let found: Vec<_> = inspected
        .filter_map(|(member, it)| look(member, it))
        .collect();
    if found.is_empty() {
        return vec![Finding::ok(ok)];
    }
    joined(found)
}

pub(crate) fn listed(facts: &Facts) -> Vec<Finding> {
    match &facts.fleet.members {
        None => Vec::new(),
        Some(Err(error)) => vec![Finding::skipped(format!(
            "cannot list the members: {error}"
        ))],
        Some(Ok(members)) => {
            let number = count(members.len(), "member");
            vec![Finding::ok(format!("{number} of {}", facts.namespace))]
        }
    }
}

pub(crate) fn answer(facts: &Facts) -> Vec<Finding> {
    if facts.members().is_empty() {
        return Vec::new();
    }
    let silent = facts.members().iter().filter_map(|member| {
        let silence = facts.fleet.without.get(&member.id)?;
        let name = &member.name;
        Some(match silence {
            Silence::Disabled => Finding::skipped(format!("{name} has `inspection(false)`")),
            Silence::NoAnswer => Finding::error(format!(
                "{name} is a member but did not answer within {:?}: it is disconnected or stuck",
                facts.fleet.waited
            ))
            .cure(format!("restart {}, and look at its log", quoted(name))),
        })
    });
    let silent: Vec<_> = silent.collect();
    if silent.is_empty() {
        return vec![Finding::ok("each member answers")];
    }
    silent
}

pub(crate) fn ready(facts: &Facts) -> Vec<Finding> {
    each(
        facts,
        "each member receives events",
        |member, inspection| {
            let health = &inspection.health;
            if health.is_ready {
                return None;
            }
            let since = health.since.map(age).unwrap_or_default();
            let text = format!(
                "{} is not ready since {since}: it does not receive all events",
                member.name
            );
            Some(Finding::error(text).cure(log_of(member)))
        },
    )
}

pub(crate) fn gaps(facts: &Facts) -> Vec<Finding> {
    each(
        facts,
        "no member missed an event in the last hour",
        |member, inspection| {
            let recent = inspection
                .gaps
                .iter()
                .filter(|gap| is_recent(inspection, gap.at));
            let recent: Vec<_> = recent.collect();
            let last = recent.last()?;
            let missed = recent.iter().filter_map(|gap| gap.missed);
            let missed = missed.fold(0_u64, u64::saturating_add);
            let text = format!(
                "{} missed {} in the last hour: {}",
                member.name,
                match missed {
                    0 => "events".to_owned(),
                    missed => count(missed, "event"),
                },
                last.text
            );
            Some(
                Finding::warning(text).cure(
                    "have the member reload its state in `on_gap`, or give the fleet a journal",
                ),
            )
        },
    )
}

/// Compares two times of the member's clock.
fn is_recent(inspection: &Inspection, at: SystemTime) -> bool {
    let since = inspection.taken.duration_since(at);
    since.unwrap_or_default() < RECENT
}

pub(crate) fn failures(facts: &Facts) -> Vec<Finding> {
    each(
        facts,
        "no member reported a failure in the last hour",
        |member, inspection| {
            let mut recent = inspection.failures.iter();
            let last = recent.rfind(|failure| is_recent(inspection, failure.at))?;
            let text = format!("{} reported a failure: {}", member.name, last.text);
            Some(Finding::warning(text).cure(log_of(member)))
        },
    )
}

pub(crate) fn handlers(facts: &Facts) -> Vec<Finding> {
    each(
        facts,
        "no handler is behind or slow",
        |member, inspection| {
            let problem = inspection.handlers.iter().find_map(problem_of)?;
            let text = format!("{}: {problem}", member.name);
            let cure = "make the handler faster, or give it `HandlerOptions::concurrency`, or more \
                    processes";
            Some(Finding::warning(text).cure(cure))
        },
    )
}

fn problem_of(handler: &HandlerInspection) -> Option<String> {
    let name = &handler.handler;
    if handler.queue.saturating_mul(2) > handler.queue_limit.max(1) {
        let (queue, limit) = (handler.queue, handler.queue_limit);
        return Some(format!(
            "{queue} of {limit} events wait for the handler {name}"
        ));
    }
    if handler.timed_out > 0 {
        let calls = count(handler.timed_out, "call");
        return Some(format!("{calls} of the handler {name} timed out"));
    }
    let slowest = handler.slowest.filter(|slowest| *slowest > SLOW)?;
    Some(format!("a call of the handler {name} took {slowest:.1?}"))
}

pub(crate) fn dropped(facts: &Facts) -> Vec<Finding> {
    each(facts, "no member dropped events", |member, inspection| {
        let dropped = inspection.health.dropped;
        if dropped == 0 {
            return None;
        }
        let text = format!(
            "{} dropped {dropped} events, because a queue was full",
            member.name
        );
        Some(
            Finding::warning(text)
                .cure("use `HandlerOptions::overflow(Overflow::Block)`, or a longer `queue`"),
        )
    })
}

pub(crate) fn behind(facts: &Facts) -> Vec<Finding> {
    if !facts.has_journal() {
        return Vec::new();
    }
    each(
        facts,
        "each member is up to date with the journal",
        |member, inspection| {
            let behind = inspection
                .health
                .journal_behind
                .filter(|it| *it > FAR_BEHIND)?;
            let text = format!("{} is {} behind the journal", member.name, age(behind));
            Some(Finding::warning(text).cure(facts.tidings(&["journal", "positions"])))
        },
    )
}

pub(crate) fn versions(facts: &Facts) -> Vec<Finding> {
    if facts.members().is_empty() {
        return Vec::new();
    }
    let library = inspected(facts).map(|(member, it)| (it.version.as_str(), member));
    let mut findings: Vec<_> = differing("tidings", library).into_iter().collect();
    let mut roles: BTreeMap<&str, Vec<&Member>> = BTreeMap::new();
    for member in facts.members() {
        roles
            .entry(member.role.as_deref().unwrap_or_default())
            .or_default()
            .push(member);
    }
    for (role, members) in roles {
        let versions = members.into_iter();
        let versions = versions.filter_map(|member| Some((member.version.as_deref()?, member)));
        let what = match role {
            "" => "the program".to_owned(),
            role => format!("the role {role}"),
        };
        findings.extend(differing(what, versions));
    }
    if findings.is_empty() {
        return vec![Finding::ok("the members have one version")];
    }
    findings
}

fn differing<'a>(
    what: impl Display,
    versions: impl Iterator<Item = (&'a str, &'a Member)>,
) -> Option<Finding> {
    let mut by_version: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (version, member) in versions {
        by_version.entry(version).or_default().push(&member.name);
    }
    if by_version.len() < 2 {
        return None;
    }
    let each = by_version
        .iter()
        .map(|(version, names)| format!("{version} ({})", names.join(", ")));
    let each: Vec<_> = each.collect();
    let text = format!(
        "the members have {} versions of {what}: {}",
        each.len(),
        each.join(", ")
    );
    Some(Finding::warning(text).cure("finish the deployment: tidings members shows the versions"))
}

pub(crate) fn names(facts: &Facts) -> Vec<Finding> {
    if facts.members().is_empty() {
        return Vec::new();
    }
    let (mut seen, mut doubled) = (BTreeSet::new(), BTreeSet::new());
    for member in facts.members() {
        if !seen.insert(&member.name) {
            doubled.insert(&member.name);
        }
    }
    if doubled.is_empty() {
        return vec![Finding::ok("each member has a name of its own")];
    }
    let findings = doubled.into_iter().map(|name| {
        let all = facts.members().iter().filter(|member| member.name == *name);
        let text = format!(
            "{} members have the name {name}: an event to it is ambiguous",
            all.count()
        );
        Finding::warning(text).cure("give each process a name of its own with `BusBuilder::name`")
    });
    findings.collect()
}

pub(crate) fn journal_use(facts: &Facts) -> Vec<Finding> {
    if !facts.has_journal() {
        return Vec::new();
    }
    // Those that only read it do not send to it.
    let without = inspected(facts)
        .filter(|(member, it)| !member.has_journal && it.health.journal_behind.is_none());
    let names: Vec<_> = without.map(|(member, _)| member.name.as_str()).collect();
    if names.is_empty() {
        return vec![Finding::ok("each member reads the journal")];
    }
    let names = names.join(", ");
    let text = format!("members without the journal miss the events in it: {names}");
    vec![Finding::error(text).cure("give all processes `BusBuilder::journal`")]
}

fn log_of(member: &Member) -> String {
    format!("look at the log of {}", quoted(&member.name))
}
