//! `Finding`: the result of a check, for one server or for all.

use serde::Serialize;
use tidings::admin::ServerRole;

use crate::commands::doctor::facts::{Facts, Server, State, Unseen};

/// The severity of a finding, the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    Ok,
    /// The fact is not known.
    Skipped,
    Warning,
    Error,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) text: String,
    /// The servers that it is about.
    pub(crate) servers: Vec<String>,
    /// The commands that end it, one for each server.
    pub(crate) cures: Vec<String>,
}

impl Finding {
    pub(crate) fn ok(text: impl Into<String>) -> Self {
        Self::new(Severity::Ok, text)
    }

    pub(crate) fn warning(text: impl Into<String>) -> Self {
        Self::new(Severity::Warning, text)
    }

    pub(crate) fn error(text: impl Into<String>) -> Self {
        Self::new(Severity::Error, text)
    }

    pub(crate) fn skipped(reason: impl Into<String>) -> Self {
        Self::new(Severity::Skipped, reason)
    }

    pub(crate) fn new(severity: Severity, text: impl Into<String>) -> Self {
        Self {
            severity,
            text: text.into(),
            servers: Vec::new(),
            cures: Vec::new(),
        }
    }

    pub(crate) fn at(mut self, server: &Server) -> Self {
        self.servers.push(server.address.clone());
        self
    }

    pub(crate) fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cures.push(cure.into());
        self
    }
}

/// The result for one server: `None` if the check does not apply to it.
pub(crate) type Look = Result<Option<Finding>, Unseen>;

/// Looks at each server that answers, and joins equal findings.
pub(crate) fn each(facts: &Facts, look: impl Fn(&Server, &State) -> Look) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (server, state) in facts.answering() {
        let found = match look(server, state) {
            Ok(None) => continue,
            Ok(Some(finding)) => finding,
            Err(Unseen(reason)) => Finding::skipped(reason),
        };
        findings.push(found.at(server));
    }
    joined(findings)
}

/// Like [`each`], for masters only.
pub(crate) fn each_master(facts: &Facts, look: impl Fn(&Server, &State) -> Look) -> Vec<Finding> {
    each(facts, |server, state| match state.role {
        ServerRole::Master => look(server, state),
        _ => Ok(None),
    })
}

/// Joins the findings that differ in their servers only.
pub(crate) fn joined(findings: Vec<Finding>) -> Vec<Finding> {
    let mut joined: Vec<Finding> = Vec::new();
    for finding in findings {
        let is_same =
            |other: &&mut Finding| other.severity == finding.severity && other.text == finding.text;
        match joined.iter_mut().find(is_same) {
            Some(same) => {
                same.servers.extend(finding.servers);
                for cure in finding.cures {
                    if !same.cures.contains(&cure) {
                        same.cures.push(cure);
                    }
                }
            }
            None => joined.push(finding),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_that_differ_in_their_servers_are_one() {
        let on = |server: &str, text: &str| Finding {
            servers: vec![server.to_owned()],
            ..Finding::warning(text).cure(format!("cure {server}"))
        };
        let joined = joined(vec![on("a:1", "x"), on("b:1", "y"), on("c:1", "x")]);
        assert_eq!(joined.len(), 2);
        assert_eq!(joined[0].servers, ["a:1", "c:1"]);
        assert_eq!(joined[0].cures, ["cure a:1", "cure c:1"]);
    }
}
