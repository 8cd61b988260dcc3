//! Runs `tidings doctor`, and reads what it found.

use std::process::Command;

use serde_json::Value;

use crate::fleet::{Fleet, PASSWORD, objects};
use crate::schema;
use crate::support::text;

/// The result of one `tidings doctor --json`.
#[derive(Debug)]
pub(crate) struct Examination {
    findings: Vec<Value>,
    pub(crate) tally: Value,
    pub(crate) code: i32,
}

/// Runs `tidings doctor` at the Redis of a fleet.
pub(crate) fn examine(fleet: &Fleet) -> Examination {
    examine_with(&mut fleet.command())
}

pub(crate) fn examine_at(fleet: &Fleet, url: &str) -> Examination {
    examine_with(fleet.command().env("TIDINGS_URL", url))
}

pub(crate) fn examine_with(command: &mut Command) -> Examination {
    let output = command.args(["doctor", "--json"]).output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(!stdout.contains(PASSWORD), "{stdout}");
    assert!(!stderr.contains(PASSWORD), "{stderr}");
    let mut findings = objects(&stdout);
    for finding in &findings {
        schema::check("doctor", finding);
    }
    let tally = findings.pop();
    Examination {
        findings,
        tally: tally.unwrap_or_else(|| panic!("{stderr}")),
        code: output.status.code().unwrap(),
    }
}

impl Examination {
    /// Returns the findings of a check.
    pub(crate) fn of(&self, check: &str) -> Vec<&Value> {
        let findings = self.findings.iter();
        findings
            .filter(|finding| finding["check"] == check)
            .collect()
    }

    /// Returns the check and the severity of each error and warning.
    pub(crate) fn problems(&self) -> Vec<(&str, &str)> {
        let findings = self.findings.iter();
        let severe = findings.filter(|finding| {
            let severity = &finding["severity"];
            severity == "warning" || severity == "error"
        });
        severe
            .map(|finding| {
                (
                    finding["check"].as_str().unwrap(),
                    finding["severity"].as_str().unwrap(),
                )
            })
            .collect()
    }

    /// Checks that these are the only errors and warnings, and that the exit code is right.
    #[track_caller]
    pub(crate) fn has_only(&self, problems: &[(&str, &str)]) {
        assert_eq!(self.problems(), problems, "{:#?}", self.findings);
        let errors = problems.iter().filter(|problem| problem.1 == "error");
        let code = if errors.count() > 0 { 3 } else { 0 };
        assert_eq!(self.code, code);
    }

    /// Returns the severity of a check's worst finding.
    #[track_caller]
    pub(crate) fn severity(&self, check: &str) -> &str {
        self.worst(check)["severity"].as_str().unwrap()
    }

    #[track_caller]
    pub(crate) fn text(&self, check: &str) -> &str {
        self.worst(check)["text"].as_str().unwrap()
    }

    #[track_caller]
    pub(crate) fn cures(&self, check: &str) -> Vec<String> {
        let cures = self.worst(check)["cures"].as_array().unwrap();
        cures
            .iter()
            .map(|cure| cure.as_str().unwrap().to_owned())
            .collect()
    }

    #[track_caller]
    fn worst(&self, check: &str) -> &Value {
        let rank = |finding: &&Value| {
            let severities = ["ok", "skipped", "warning", "error"];
            severities.iter().position(|it| finding["severity"] == *it)
        };
        let worst = self.of(check).into_iter().max_by_key(rank);
        worst.unwrap_or_else(|| panic!("{check}: {:#?}", self.findings))
    }
}

/// Runs a cure in a shell, as a user who pastes it, with the password of the administrator.
pub(crate) fn paste(cure: &str) {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", cure])
        .envs([("REDISCLI_AUTH", PASSWORD), ("PASSWORD", PASSWORD)]);
    let output = shell.output().unwrap();
    let answer = text(&output.stdout);
    assert!(output.status.success(), "{cure}: {output:?}");
    assert!(
        !answer.contains("ERR") && !answer.contains("NOAUTH"),
        "{cure}: {answer}"
    );
}
