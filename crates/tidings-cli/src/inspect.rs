//! Asks the members of the namespace about themselves.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tidings::{Bus, Inspection, Member, NodeId, RequestError, Response, ResponseError, report};

use crate::terminal::escape;

/// A member, and what became of the question to it.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) member: Member,
    pub(crate) outcome: Outcome,
}

/// The result of inspecting a member.
#[derive(Debug)]
pub(crate) enum Outcome {
    Responded(Box<Inspection>),
    /// The member has turned inspection off.
    Off,
    /// The response cannot be read.
    Failed(String),
    /// The question could not be sent.
    NotAsked(String),
    /// No response within this time.
    Silent(Duration),
}

/// The outcomes for all members, and for other buses.
#[derive(Debug)]
pub(crate) struct Inspections {
    pub(crate) members: Vec<Inspected>,
    /// The responses of buses that are no members.
    pub(crate) others: Vec<Inspection>,
}

/// The fields that the response of a member adds to its JSON.
#[derive(Serialize)]
struct Described<'a> {
    #[serde(flatten)]
    member: &'a Member,
    receives: Option<bool>,
    gaps: Option<u64>,
    missed: Option<u64>,
    error: Option<String>,
}

/// Asks all members, and waits for their responses for at most `timeout`.
pub(crate) async fn inspect(bus: &Bus, members: Vec<Member>, timeout: Duration) -> Inspections {
    let mut outcomes = HashMap::new();
    let mut responses = match bus.inspect().timeout(timeout).await {
        Ok(responses) => responses,
        Err(error) => return Inspections::not_asked(members, &error),
    };
    while let Some(response) = responses.next().await {
        outcomes.insert(response.responder.node, Outcome::of(response));
    }
    Inspections::of(members, outcomes, timeout)
}

impl Inspections {
    fn not_asked(members: Vec<Member>, error: &RequestError) -> Self {
        let why = report(error).to_string();
        let members = members.into_iter().map(|member| Inspected {
            member,
            outcome: Outcome::NotAsked(why.clone()),
        });
        Self {
            members: members.collect(),
            others: Vec::new(),
        }
    }

    fn of(members: Vec<Member>, mut outcomes: HashMap<NodeId, Outcome>, timeout: Duration) -> Self {
        let members = members.into_iter().map(|member| Inspected {
            outcome: outcomes
                .remove(&member.id)
                .unwrap_or(Outcome::Silent(timeout)),
            member,
        });
        let members = members.collect();
        let others = outcomes.into_values().filter_map(|outcome| match outcome {
            Outcome::Responded(inspection) => Some(*inspection),
            _ => None,
        });
        Self {
            members,
            others: others.collect(),
        }
    }
}

impl Outcome {
    fn of(response: Response<Inspection>) -> Self {
        match response.value {
            Ok(inspection) => Self::Responded(Box::new(inspection)),
            Err(ResponseError::NoHandler) => Self::Off,
            Err(error) => Self::Failed(report(&error).to_string()),
        }
    }
}

impl Inspected {
    pub(crate) fn inspection(&self) -> Option<&Inspection> {
        match &self.outcome {
            Outcome::Responded(inspection) => Some(inspection),
            _ => None,
        }
    }

    /// Returns whether the member receives events. One that does not respond does not; one that has
    /// turned inspection off does not say.
    pub(crate) fn receives(&self) -> Option<bool> {
        match &self.outcome {
            Outcome::Responded(inspection) => Some(inspection.health.is_ready),
            Outcome::Silent(_) => Some(false),
            Outcome::Off | Outcome::Failed(_) | Outcome::NotAsked(_) => None,
        }
    }

    /// Returns true if the member should have responded and did not.
    pub(crate) fn has_failed(&self) -> bool {
        !matches!(self.outcome, Outcome::Responded(_) | Outcome::Off)
    }

    /// Returns why there is no inspection of the member.
    pub(crate) fn why_not(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Responded(_) => None,
            Outcome::Off => Some("inspection is off".to_owned()),
            Outcome::Failed(why) => Some(format!("its response cannot be read: {}", escape(why))),
            Outcome::NotAsked(why) => Some(format!("not asked: {}", escape(why))),
            Outcome::Silent(timeout) => Some(format!("no response within {timeout:?}")),
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
