//! Exceptions: breaks that are allowed, with a reason and an end.

use std::fmt;

use serde::Deserialize;

use crate::contract::check::{Finding, Level};
use crate::contract::rule::Rule;

/// A break that is allowed: `[[contract.allow]]` of `tidings.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exception {
    rule: Rule,
    /// The name of the event, value or map.
    event: String,
    /// The place in the payload; all of it, if there is none.
    path: Option<String>,
    reason: String,
    /// The last day on which it counts.
    until: Option<Day>,
}

/// A day, as `2027-03-01`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Day(String);

/// The exceptions of a project, and which of them were needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exceptions {
    today: Day,
    all: Vec<(Exception, bool)>,
}

impl Exceptions {
    pub(crate) fn new(all: Vec<Exception>, today: Day) -> Self {
        let all = all.into_iter().map(|exception| (exception, false));
        Self {
            today,
            all: all.collect(),
        }
    }

    /// Takes the findings that are allowed out of a report, and returns them with the reason.
    pub(crate) fn take(&mut self, findings: &mut Vec<Finding>) -> Vec<(Finding, String)> {
        let mut allowed = Vec::new();
        for (exception, is_needed) in &mut self.all {
            let matching = findings.iter().any(|finding| exception.matches(finding));
            *is_needed |= matching;
            if exception.has_ended(&self.today) {
                continue;
            }
            let taken = findings.extract_if(.., |finding| exception.matches(finding));
            allowed.extend(taken.map(|finding| (finding, exception.reason.clone())));
        }
        allowed
    }

    /// Returns sentences about the exceptions that have ended, or that matched nothing.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let remarks = self.all.iter().filter_map(|(exception, is_needed)| {
            let until = exception.until.as_ref().map(|until| until.0.as_str());
            match (is_needed, until) {
                (false, _) => Some(format!("{exception} matches nothing any more: remove it")),
                (true, Some(until)) if exception.has_ended(&self.today) => Some(format!(
                    "{exception} ended on {until}: {}",
                    exception.reason
                )),
                _ => None,
            }
        });
        remarks.collect()
    }
}

impl Exception {
    fn matches(&self, finding: &Finding) -> bool {
        finding.level != Level::Fine
            && [finding.rule, finding.cause].contains(&Some(self.rule))
            && finding.name == self.event
            && self.path.as_ref().is_none_or(|path| *path == finding.path)
    }

    fn has_ended(&self, today: &Day) -> bool {
        self.until.as_ref().is_some_and(|until| until < today)
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_deref().unwrap_or_default();
        let (rule, event) = (self.rule.name(), &self.event);
        write!(f, "the exception for {rule} of {event}{path}")
    }
}

impl Day {
    /// Returns the day of a time such as `2027-03-01T12:00:00Z`.
    pub(crate) fn of(time: &str) -> Self {
        Self(time.chars().take("2027-03-01".len()).collect())
    }
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts: Vec<_> = text.split('-').map(str::len).collect();
        let is_day = parts == [4, 2, 2] && text.bytes().all(|it| it == b'-' || it.is_ascii_digit());
        let wrong = || "`until` must be a day such as \"2027-03-01\"".to_owned();
        is_day.then_some(Self(text)).ok_or_else(wrong)
    }
}
