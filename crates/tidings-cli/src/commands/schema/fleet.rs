//! The contracts of the members that run now.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tidings::{Bus, Member, ResponseError};

use crate::app::App;
use crate::commands::schema::source::{Read, parse};
use crate::connect::connect;
use crate::exit::Problem;
use crate::inspect::inspect;
use crate::terminal::escape;

/// What the members say they write and read.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    /// One for each contract that is not that of the file.
    pub(super) contracts: Vec<Read>,
    /// True if a member did not answer.
    pub(super) is_partial: bool,
}

/// Asks the members for their contracts. Those with this hash need not be compared.
pub(super) async fn contracts(app: &App, hash: &str) -> anyhow::Result<Fleet> {
    let settings = app.settings()?;
    let bus = connect(app, &settings).await?;
    let members = bus.members().await?;
    let total = members.len();
    let inspections = inspect(&bus, members, app.global.patience()).await;
    let mut fleet = Fleet::default();
    let (mut groups, mut unknown) = (BTreeMap::<String, Vec<&Member>>::new(), Vec::new());
    for inspected in &inspections.members {
        let member = &inspected.member;
        let inspection = inspected.inspection();
        match inspection.and_then(|it| it.contract.clone()) {
            Some(other) => groups.entry(other).or_default().push(member),
            None => unknown.push(escape(&member.name)),
        }
        fleet.is_partial |= inspected.has_failed();
    }
    let equal = groups.remove(hash).map_or(0, |members| members.len());
    app.remark(format_args!(
        "members with this contract: {equal} of {total}"
    ));
    if !unknown.is_empty() {
        let names = unknown.join(", ");
        app.warn(&format!(
            "no contract is known of {names}: no answer, or no feature `schema`"
        ));
    }
    for members in groups.values() {
        match contract_of(app, &bus, members).await? {
            Some(read) => fleet.contracts.push(read),
            None => fleet.is_partial = true,
        }
    }
    Ok(fleet)
}

/// Asks one of several members with the same contract for it.
async fn contract_of(app: &App, bus: &Bus, members: &[&Member]) -> anyhow::Result<Option<Read>> {
    let [member, others @ ..] = members else {
        return Ok(None);
    };
    let response = bus.contract_of(member.id).await?;
    let name = escape(&member.name);
    match response.value {
        Ok(text) => {
            let version = member
                .version
                .as_deref()
                .map(|it| format!(" ({})", escape(it)));
            let mut shown = name + &version.unwrap_or_default();
            if !others.is_empty() {
                let _ = write!(shown, " and {} more", others.len());
            }
            Ok(Some(parse(shown, text)?))
        }
        Err(ResponseError::NoHandler) => {
            app.warn(&format!("{name} does not tell its contract"));
            Ok(None)
        }
        Err(error) => {
            let why = tidings::report(&error).to_string();
            Err(
                Problem::failed(format!("{name} did not tell its contract: {}", escape(why)))
                    .into(),
            )
        }
    }
}
