//! Checks of what a server writes to its disk, and of the journal that depends on it.

use std::time::Duration;

use crate::commands::doctor::checks::settings::{bytes, raise_memory, set};
use crate::commands::doctor::facts::{DurableFacts, Facts, JournalFacts, State, Unseen};
use crate::commands::doctor::finding::{Finding, each, each_master, joined};
use crate::terminal::age;

/// The journal may use this part of a server's memory: a half.
const LARGEST_SHARE: u64 = 2;

pub(crate) fn persistence(facts: &Facts) -> Vec<Finding> {
    if !facts.has_journal() {
        return no_journal(facts);
    }
    each(facts, |server, state| {
        if has_append_only_file(state)? {
            return Ok(Some(Finding::ok("an append-only file keeps the journal")));
        }
        let lost = if has_snapshots(state)? {
            "a restart of Redis loses the part of the journal since the last snapshot"
        } else {
            "a restart of Redis loses the journal"
        };
        let text = format!("{lost}, because Redis writes no append-only file");
        let finding = if facts.has_durable_names() {
            Finding::error(text)
        } else {
            Finding::warning(text)
        };
        Ok(Some(finding.cure(set(server, "appendonly", "yes"))))
    })
}

pub(crate) fn fsync(facts: &Facts) -> Vec<Finding> {
    if !facts.has_journal() {
        return no_journal(facts);
    }
    each(facts, |server, state| {
        if !has_append_only_file(state)? {
            return Ok(None);
        }
        Ok(Some(match state.config("appendfsync")? {
            "no" => Finding::warning(
                "appendfsync is no: a crash of the machine loses the last 30 s of the journal",
            )
            .cure(set(server, "appendfsync", "everysec")),
            often => Finding::ok(format!("the append-only file is synchronized {often}")),
        }))
    })
}

pub(crate) fn disk(facts: &Facts) -> Vec<Finding> {
    each(facts, |server, state| {
        let has_failed = |name| state.info(name).map(|status| status != "ok");
        if has_append_only_file(state)? && has_failed("aof_last_write_status")? {
            let text = "Redis cannot write its append-only file, and rejects writes";
            let look = server.cli(&["INFO", "persistence"]);
            return Ok(Some(Finding::error(text).cure(look)));
        }
        if has_failed("rdb_last_bgsave_status")? && has_snapshots(state)? {
            let text = "the last snapshot of Redis failed, so it may reject writes: make room on \
                        the disk, and try again";
            return Ok(Some(Finding::error(text).cure(server.cli(&["BGSAVE"]))));
        }
        Ok(Some(Finding::ok("Redis can write to its disk")))
    })
}

/// Returns the result without a journal: nothing, or that it is not known.
fn no_journal(facts: &Facts) -> Vec<Finding> {
    let unseen = facts.unseen_journal().into_iter();
    unseen
        .map(|Unseen(reason)| Finding::skipped(reason))
        .collect()
}

fn has_append_only_file(state: &State) -> Result<bool, Unseen> {
    Ok(state.info("aof_enabled")? == "1")
}

fn has_snapshots(state: &State) -> Result<bool, Unseen> {
    Ok(!state.config("save")?.is_empty())
}

pub(crate) fn journal_memory(facts: &Facts) -> Vec<Finding> {
    let Some(Ok(journal)) = &facts.journal else {
        return Vec::new();
    };
    let largest = journal.names.iter().map(|name| name.max_bytes).max();
    let largest = largest.unwrap_or_default().max(journal.bytes);
    each_master(facts, |server, state| {
        let limit = state.config_number("maxmemory")?;
        if limit == 0 || largest <= limit / LARGEST_SHARE {
            return Ok(Some(Finding::ok(format!(
                "the journal has {}",
                bytes(journal.bytes)
            ))));
        }
        let text = format!(
            "the journal may use {} of {} (maxmemory): Redis rejects writes when it is full",
            bytes(largest),
            bytes(limit)
        );
        let enough = largest.saturating_mul(LARGEST_SHARE);
        let raise = raise_memory(server, state, enough, enough);
        let other = "lower `Journal::max_bytes`, or move Redis to a machine with more memory";
        let cure = raise.unwrap_or_else(|| other.to_owned());
        Ok(Some(Finding::warning(text).cure(cure)))
    })
}

pub(crate) fn retention(facts: &Facts) -> Vec<Finding> {
    let journal = match &facts.journal {
        None => return no_journal(facts),
        Some(Err(reason)) => return vec![Finding::skipped(reason)],
        Some(Ok(journal)) => journal,
    };
    let problems: Vec<_> = journal
        .names
        .iter()
        .filter_map(|name| retained(facts, name))
        .collect();
    if problems.is_empty() {
        return vec![Finding::ok(kept(journal))];
    }
    joined(problems)
}

fn kept(journal: &JournalFacts) -> String {
    match journal.names.len() {
        0 => "the journal has no durable names".to_owned(),
        _ => "the journal reaches back to the position of each durable name".to_owned(),
    }
}

/// The longest outage that was seen is the time since the position of a name without a reader.
fn retained(facts: &Facts, name: &DurableFacts) -> Option<Finding> {
    if name.has_reader || name.age <= name.max_age / 2 {
        return None;
    }
    let (shown, since, kept) = (&name.name, age(name.age), shortly(name.max_age));
    let begins = format!("no process reads for the durable name {shown} since {since}");
    Some(if name.age > name.max_age {
        let text = format!(
            "{begins}, and the journal keeps events for {kept}: it misses events; start it with a \
             longer `Journal::max_age`, or remove the name"
        );
        let remove = facts.tidings(&["journal", "remove", shown]);
        Finding::error(text).cure(remove)
    } else {
        let text = format!("{begins}, and the journal keeps events for {kept}: start it");
        Finding::warning(text).cure(facts.tidings(&["journal", "positions"]))
    })
}

fn shortly(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        return format!("{time:?}");
    }
    age(time)
}

#[cfg(test)]
mod tests {
    use tidings::TopologyKind;

    use super::*;
    use crate::commands::doctor::finding::Severity;

    #[test]
    fn a_name_without_a_reader_is_a_warning_before_it_misses_events() {
        let name = |hours: u64, has_reader| DurableFacts {
            name: "billing".to_owned(),
            age: Duration::from_secs(hours * 3600),
            max_age: Duration::from_hours(24),
            has_reader,
            ..DurableFacts::default()
        };
        let facts = Facts::of(TopologyKind::Standalone, Vec::new());
        assert_eq!(retained(&facts, &name(48, true)), None);
        assert_eq!(retained(&facts, &name(11, false)), None);
        let severity = |hours| retained(&facts, &name(hours, false)).unwrap().severity;
        assert_eq!(severity(13), Severity::Warning);
        assert_eq!(severity(25), Severity::Error);
        let remove = "tidings journal remove billing -c production";
        assert_eq!(retained(&facts, &name(25, false)).unwrap().cures, [remove]);
    }
}
