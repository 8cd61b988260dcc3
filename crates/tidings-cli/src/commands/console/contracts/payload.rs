//! Checks a payload before it is sent, as `tidings send` does: against the contracts of its receivers.

use axum::http::StatusCode;
use serde_json::Value;
use tidings::Member;
use tokio::task::spawn_blocking;

use super::{Announced, Contracts, panicked};
use crate::commands::console::api::Failure;
use crate::commands::schema::names_of;
use crate::contract::Reader;
use crate::recipient::Recipients;

/// The most characters of the reason.
const REASON: usize = 400;

impl Contracts {
    /// Fails if a receiver has a handler of the event that cannot read the payload. Nothing is known of
    /// a receiver without a contract.
    pub(in super::super) async fn check_payload(
        &self,
        announced: &[Announced],
        to: &Recipients,
        (event, data): (&str, &Value),
    ) -> Result<(), Failure> {
        let is_receiver = |member: &Member| match to {
            Recipients::All | Recipients::Others => true,
            Recipients::Members(members) => members.iter().any(|it| it.id == member.id),
        };
        let handling = announced
            .iter()
            .filter(|it| it.handles(event) && is_receiver(&it.member));
        let handling: Vec<_> = handling.map(|it| it.member.id).collect();
        if handling.is_empty() {
            return Ok(());
        }
        let mut memory = self.memory.lock().await;
        let groups = memory
            .asked
            .groups(&self.bus, self.timeout, announced)
            .await;
        drop(memory);
        let (event, data) = (event.to_owned(), data.clone());
        let checked = spawn_blocking(move || {
            groups.shown.iter().find_map(|group| {
                let members = group.members.iter().filter(|it| handling.contains(&it.id));
                let members: Vec<_> = members.collect();
                let contract = group
                    .contract
                    .as_ref()
                    .ok()
                    .filter(|_| !members.is_empty())?;
                let reasons = Reader::of(contract, &event)?.unreadable(&data).ok()?;
                let first = reasons.first()?;
                let reason: String = format!("{}: {}", first.path, first.what)
                    .chars()
                    .take(REASON)
                    .collect();
                Some(format!(
                    "{} cannot read this payload: {reason}",
                    names_of(&members)
                ))
            })
        });
        match checked.await.map_err(panicked)? {
            Some(why) => {
                let failure = Failure::new(StatusCode::UNPROCESSABLE_ENTITY, why);
                Err(failure.logged_as("a receiver cannot read the payload"))
            }
            None => Ok(()),
        }
    }
}
