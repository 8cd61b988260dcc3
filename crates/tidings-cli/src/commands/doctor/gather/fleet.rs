//! Asks the members what they say of themselves.

use std::time::{Duration, Instant};

use tidings::{Bus, RequestError, ResponseError, StartError, TapItem, TapOptions, report};
use tokio::time::timeout;

use crate::app::App;
use crate::commands::doctor::facts::{Echo, Fleet, Silence};
use crate::commands::doctor::gather::contracts;
use crate::contract::Exceptions;
use crate::exit::Problem;

/// The wait for the own event.
const ECHO: Duration = Duration::from_secs(2);

pub(super) async fn look(
    app: &App,
    bus: Result<Bus, StartError>,
    exceptions: Result<Exceptions, Problem>,
) -> (Result<Echo, String>, Fleet) {
    let bus = match bus {
        Ok(bus) => bus,
        Err(error) => {
            return (Err(report(&error).to_string()), Fleet::default());
        }
    };
    let mut fleet = Fleet {
        waited: app.global.timeout,
        ..Fleet::default()
    };
    let echo = inspect(&bus, &mut fleet).await;
    // Afterwards: a member that left while it was asked is none.
    fleet.members = Some(match bus.members().await {
        Ok(members) => {
            fleet.contracts = contracts::look(&bus, &members, &fleet.inspections, exceptions).await;
            Ok(members)
        }
        Err(error) => Err(report(&error).to_string()),
    });
    (Ok(echo), fleet)
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
