//! Asks the members of the namespace about themselves.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tidings::{Bus, Inspection, Member, NodeId, RequestError, Response, ResponseError, report};

use crate::terminal::escape;

/// A member, and what it said about itself.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) member: Member,
    pub(crate) answer: Answer,
}

/// The answer of a member.
#[derive(Debug)]
pub(crate) enum Answer {
    Told(Box<Inspection>),
    /// The member has turned inspection off.
    Off,
    /// The answer cannot be read.
    Failed(String),
    /// The question could not be sent.
    NotAsked(String),
    /// No answer within this time.
    Silent(Duration),
}

/// The answers of all members, and of other buses.
#[derive(Debug)]
pub(crate) struct Inspections {
    pub(crate) members: Vec<Inspected>,
    /// What buses that are no members told.
    pub(crate) others: Vec<Inspection>,
}

/// The fields that the answer of a member adds to its JSON.
#[derive(Serialize)]
struct Described<'a> {
    #[serde(flatten)]
    member: &'a Member,
    receives: Option<bool>,
    gaps: Option<u64>,
    missed: Option<u64>,
    error: Option<String>,
}

/// Asks all members, and waits for their answers for at most `timeout`.
pub(crate) async fn inspect(bus: &Bus, members: Vec<Member>, timeout: Duration) -> Inspections {
    let mut answers = HashMap::new();
    let mut responses = match bus.inspect().timeout(timeout).await {
        Ok(responses) => responses,
        Err(error) => return Inspections::not_asked(members, &error),
    };
    while let Some(response) = responses.next().await {
        answers.insert(response.responder.node, Answer::of(response));
    }
    Inspections::of(members, answers, timeout)
}

impl Inspections {
    fn not_asked(members: Vec<Member>, error: &RequestError) -> Self {
        let why = report(error).to_string();
        let members = members.into_iter().map(|member| Inspected {
            member,
            answer: Answer::NotAsked(why.clone()),
        });
        Self {
            members: members.collect(),
            others: Vec::new(),
        }
    }

    fn of(members: Vec<Member>, mut answers: HashMap<NodeId, Answer>, timeout: Duration) -> Self {
        let members = members.into_iter().map(|member| Inspected {
            answer: answers
                .remove(&member.id)
                .unwrap_or(Answer::Silent(timeout)),
            member,
        });
        let members = members.collect();
        let others = answers.into_values().filter_map(|answer| match answer {
            Answer::Told(inspection) => Some(*inspection),
            _ => None,
        });
        Self {
            members,
            others: others.collect(),
        }
    }
}

impl Answer {
    fn of(response: Response<Inspection>) -> Self {
        match response.value {
            Ok(inspection) => Self::Told(Box::new(inspection)),
            Err(ResponseError::NoHandler) => Self::Off,
            Err(error) => Self::Failed(report(&error).to_string()),
        }
    }
}

impl Inspected {
    pub(crate) fn inspection(&self) -> Option<&Inspection> {
        match &self.answer {
            Answer::Told(inspection) => Some(inspection),
            _ => None,
        }
    }

    /// Returns whether the member receives events. One that does not answer does not; one that has
    /// turned inspection off does not say.
    pub(crate) fn receives(&self) -> Option<bool> {
        match &self.answer {
            Answer::Told(inspection) => Some(inspection.health.is_ready),
            Answer::Silent(_) => Some(false),
            Answer::Off | Answer::Failed(_) | Answer::NotAsked(_) => None,
        }
    }

    /// Returns true if the member should have answered and did not.
    pub(crate) fn has_failed(&self) -> bool {
        !matches!(self.answer, Answer::Told(_) | Answer::Off)
    }

    /// Returns why there is no inspection of the member.
    pub(crate) fn why_not(&self) -> Option<String> {
        match &self.answer {
            Answer::Told(_) => None,
            Answer::Off => Some("inspection is off".to_owned()),
            Answer::Failed(why) => Some(format!("its answer cannot be read: {}", escape(why))),
            Answer::NotAsked(why) => Some(format!("not asked: {}", escape(why))),
            Answer::Silent(timeout) => Some(format!("no answer within {timeout:?}")),
        }
    }

    /// Returns the member as JSON, with its inspection or without.
    pub(crate) fn json(&self, is_whole: bool) -> serde_json::Result<Value> {
        let inspection = self.inspection();
        let mut json = serde_json::to_value(Described {
            member: &self.member,
            receives: self.receives(),
            gaps: inspection.map(|it| it.health.gaps),
            missed: inspection.map(|it| it.health.missed),
            error: self.why_not(),
        })?;
        if is_whole {
            json["inspection"] = serde_json::to_value(inspection)?;
        }
        Ok(json)
    }
}
