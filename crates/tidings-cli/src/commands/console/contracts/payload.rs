//! Checks a payload before it is sent: against the contracts of its receivers, where `tidings send` has the
//! contract of the project.

use std::fmt::Display;

use axum::http::StatusCode;
use serde_json::Value;
use tidings::Member;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::asked::Group;
use super::{Announced, Contracts, cut, panicked};
use crate::commands::console::api::Failure;
use crate::commands::schema::names_of;
use crate::contract::Reader;
use crate::recipient::Recipients;

/// The most characters of the reason.
const REASON: usize = 400;

impl Contracts {
    /// Fails if a receiver has a handler of the event that cannot read the payload, and if that is not
    /// known: because its contract is not, or because the check takes longer than `--timeout`. A receiver
    /// that announces no contract is not checked.
    pub(in super::super) async fn check_payload(
        &self,
        announced: &[Announced],
        to: &Recipients,
        event: (&str, &Value),
    ) -> Result<(), Failure> {
        let is_receiver = |member: &Member| match to {
            Recipients::All | Recipients::Others => true,
            Recipients::Members(members) => members.iter().any(|it| it.id == member.id),
        };
        let handling = announced.iter();
        let handling = handling.filter(|it| it.handles(event.0) && is_receiver(&it.member));
        let checked = timeout(self.timeout, self.unreadable(handling, event)).await;
        let why = match checked {
            Ok(reason) => reason?,
            Err(_) => Some(format!(
                "the payload was not checked within {:?}",
                self.timeout
            )),
        };
        let Some(why) = why else { return Ok(()) };
        let failure = Failure::new(StatusCode::UNPROCESSABLE_ENTITY, why);
        Err(failure.logged_as("the payload did not pass the check of its receivers"))
    }

    /// Returns the reason for which one of these members cannot read the payload.
    async fn unreadable(
        &self,
        handling: impl Iterator<Item = &Announced>,
        (event, data): (&str, &Value),
    ) -> Result<Option<String>, Failure> {
        let groups = self.groups(handling).await;
        let (event, data) = (event.to_owned(), data.clone());
        let checked = spawn_blocking(move || {
            let reason = |group| reason(group, &event, &data);
            groups.shown.iter().find_map(reason)
        });
        checked.await.map_err(panicked)
    }
}

/// Returns the reason for which these members cannot read the payload, or for which that is not known.
fn reason(group: &Group, event: &str, data: &Value) -> Option<String> {
    let members: Vec<_> = group.members.iter().collect();
    let members = names_of(&members);
    let not_checked = |why: &dyn Display| {
        let why = cut(&why.to_string(), REASON);
        Some(format!("the payload was not checked for {members}: {why}"))
    };
    let contract = match &group.contract {
        Ok(contract) => contract,
        Err(why) => return not_checked(why),
    };
    let reasons = match Reader::of(contract, event)?.unreadable(data) {
        Ok(reasons) => reasons,
        Err(too_complex) => return not_checked(&too_complex),
    };
    let first = reasons.first()?;
    let reason = cut(&format!("{}: {}", first.path, first.what), REASON);
    Some(format!("{members} cannot read this payload: {reason}"))
}
