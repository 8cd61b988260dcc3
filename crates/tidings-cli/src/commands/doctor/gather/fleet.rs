//! Asks the members what they say of themselves, and reads the journal.

use std::time::{Duration, Instant};

use tidings::{
    Bus, Journal, Member, RequestError, ResponseError, StartError, TapItem, TapOptions, report,
};
use tokio::time::timeout;

use crate::app::App;
use crate::commands::doctor::facts::{
    Connected, DurableFacts, Echo, Fleet, JournalFacts, MemberFacts, Refusal, Silence,
};
use crate::connect::{connect_with, has_journal};
use crate::settings::Settings;

/// The wait for the own event.
const ECHO: Duration = Duration::from_secs(2);

type Seen = (
    Result<Connected, Refusal>,
    Fleet,
    Option<Result<JournalFacts, String>>,
);

pub(super) async fn look(
    app: &App,
    settings: &Settings,
    bus: Result<Bus, StartError>,
    is_in_redis: bool,
) -> Seen {
    let bus = match bus {
        Ok(bus) => bus,
        Err(error) => {
            let text = report(&error).to_string();
            return (Err(Refusal { text }), Fleet::default(), None);
        }
    };
    let mut fleet = Fleet {
        waited: app.global.timeout,
        ..Fleet::default()
    };
    let members = bus.members().await;
    let has_journal = is_in_redis || members.as_ref().is_ok_and(|all| has_journal(all));
    let (echo, journal) = tokio::join!(inspect(&bus, &mut fleet), async {
        if has_journal {
            Some(journal(app, settings).await)
        } else {
            None
        }
    });
    // A member that left while it was asked is none.
    let members = match members {
        Ok(_) => bus.members().await,
        error => error,
    };
    fleet.members = Some(match members {
        Ok(members) => Ok(members.iter().map(described).collect()),
        Err(error) => Err(report(&error).to_string()),
    });
    (Ok(Connected { echo }), fleet, journal)
}

fn described(member: &Member) -> MemberFacts {
    MemberFacts {
        id: member.id,
        name: member.name.clone(),
        role: member.role.clone(),
        version: member.version.clone(),
        has_journal: member.has_journal,
    }
}

/// Asks all members for their inspection. The request comes back to this bus, too: its own echo.
async fn inspect(bus: &Bus, fleet: &mut Fleet) -> Echo {
    let mut tap = match bus.tap(TapOptions::new()) {
        Ok(tap) => tap,
        Err(error) => return Echo::Unknown(report(&error).to_string()),
    };
    let began = Instant::now();
    let request = bus.inspect().timeout(fleet.waited).await;
    let mut responses = match request {
        Ok(responses) => responses,
        Err(RequestError::Members(error)) => return Echo::Unknown(report(&error).to_string()),
        Err(error) => return Echo::NotSent(report(&error).to_string()),
    };
    let own = async {
        while let Some(item) = tap.next().await {
            if matches!(&item, TapItem::Event(event) if event.sender() == Some(bus.id())) {
                return true;
            }
        }
        false
    };
    let collect = async {
        while let Some(response) = responses.next().await {
            let node = response.responder.node;
            match response.value {
                Ok(inspection) => {
                    fleet.inspections.insert(node, inspection);
                }
                Err(ResponseError::NoHandler) => {
                    fleet.without.insert(node, Silence::Disabled);
                }
                Err(_) => {
                    fleet.without.insert(node, Silence::NoAnswer);
                }
            }
        }
        responses.summary().await
    };
    let echo = async { (timeout(ECHO, own).await, began.elapsed()) };
    let ((echo, took), summary) = tokio::join!(echo, collect);
    for responder in summary.timed_out {
        fleet
            .without
            .entry(responder.node)
            .or_insert(Silence::NoAnswer);
    }
    match echo {
        Ok(true) => Echo::Received(took),
        _ => Echo::Missing(ECHO),
    }
}

async fn journal(app: &App, settings: &Settings) -> Result<JournalFacts, String> {
    let text = |error: &dyn std::error::Error| report(error).to_string();
    let bus = connect_with(app, settings, Journal::default().follow_only()).await;
    let bus = bus.map_err(|error| format!("{error:#}"))?;
    let Some(journal) = bus.journal() else {
        return Err("the bus has no journal".to_owned());
    };
    let info = journal.info().await.map_err(|error| text(&error))?;
    let names = journal.positions().await.map_err(|error| text(&error))?;
    let names = names.into_iter().map(|name| DurableFacts {
        has_reader: name.holder.is_some(),
        name: name.name,
        age: name.age,
        max_age: name.max_age,
        max_bytes: name.max_bytes,
    });
    Ok(JournalFacts {
        bytes: info.bytes,
        names: names.collect(),
    })
}
