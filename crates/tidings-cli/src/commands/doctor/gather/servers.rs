//! Asks the servers, and converts their answers.

use std::time::SystemTime;

use tidings::admin::{self, Admin};
use tidings::{ConnectError, DurableName, report};

use crate::commands::doctor::facts::{DurableFacts, JournalFacts, Server, State};
use crate::commands::doctor::gather::is_tls;
use crate::settings::Settings;

pub(super) async fn look(admin: &Admin, settings: &Settings) -> Result<Vec<Server>, ConnectError> {
    let address = settings.url.value.to_string();
    let is_tls = is_tls(&address);
    let user = settings.url.value.user().unwrap_or("default");
    let servers = admin.servers_with_settings().await?;
    let converted = servers.into_iter().map(|server| Server {
        address: server.address,
        is_tls,
        is_sentinel: server.is_sentinel,
        state: match server.state {
            Ok(state) => Ok(state_of(state, user)),
            Err(error) => Err(report(&error).to_string()),
        },
    });
    Ok(converted.collect())
}

/// Converts the answers to a user, who may not be allowed to ask for the own name.
fn state_of(state: admin::ServerState, user: &str) -> State {
    let settings = state.settings.unwrap_or_default();
    let sentinel = state.sentinel.unwrap_or_default();
    let names = settings.durable_names.into_iter().map(durable_name);
    let journal = settings.has_journal.filter(|has| *has).map(|_| {
        let info = settings
            .journal
            .ok_or("the user may not read the journal")?;
        Ok(JournalFacts {
            bytes: info.bytes,
            names: names.collect(),
        })
    });
    State {
        role: state.role,
        round_trip: state.round_trip,
        clock_offset: state.clock_offset,
        info: state.info,
        config: settings.config,
        cluster: state.cluster,
        nodes: state.nodes,
        master: sentinel.master,
        quorum_problem: sentinel.quorum_problem,
        is_open: settings
            .default_user
            .map(|user| user.is_on && user.is_without_password),
        has_master_password: settings.has_master_password,
        certificate_left: settings.certificate_ends.map(|end| {
            let left = end.duration_since(SystemTime::now());
            left.unwrap_or_default()
        }),
        largest_backlog: state.largest_backlog,
        databases: settings.other_databases,
        has_journal: settings.has_journal,
        journal,
        missing: settings.missing,
        user: settings.user.unwrap_or_else(|| user.to_owned()),
        denied: state
            .denied
            .into_iter()
            .map(|denied| (denied.command.to_owned(), denied.error))
            .collect(),
    }
}

fn durable_name(name: DurableName) -> DurableFacts {
    DurableFacts {
        has_reader: name.holder.is_some(),
        name: name.name,
        age: name.age,
        max_age: name.max_age,
        max_bytes: name.max_bytes,
    }
}
