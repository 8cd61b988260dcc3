//! Checks a payload before it is sent: against the contracts of its receivers, where `tidings send` has the
//! contract of the project.

use axum::http::StatusCode;
use serde_json::Value;
use tidings::Member;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Announced, Contracts, cut, panicked};
use crate::commands::console::api::Failure;
use crate::commands::schema::names_of;
use crate::contract::Reader;
use crate::recipient::Recipients;

/// The most characters of the reason.
const REASON: usize = 400;

impl Contracts {
    /// Fails if a receiver has a handler of the event that cannot read the payload, or if the check takes
    /// longer than `--timeout`. A receiver without a contract is not checked.
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
        let (why, logged) = match checked {
            Ok(Err(failure)) => return Err(failure),
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(why))) => (why, "a receiver cannot read the payload"),
            Err(_) => {
                let why = format!("the payload was not checked within {:?}", self.timeout);
                (why, "the payload was not checked in time")
            }
        };
        let failure = Failure::new(StatusCode::UNPROCESSABLE_ENTITY, why);
        Err(failure.logged_as(logged))
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
            groups.shown.iter().find_map(|group| {
                let contract = group.contract.as_ref().ok()?;
                let reasons = Reader::of(contract, &event)?.unreadable(&data).ok()?;
                let first = reasons.first()?;
                let reason = cut(&format!("{}: {}", first.path, first.what), REASON);
                let members: Vec<_> = group.members.iter().collect();
                let members = names_of(&members);
                Some(format!("{members} cannot read this payload: {reason}"))
            })
        });
        checked.await.map_err(panicked)
    }
}
