//! Gathers the facts: asks the servers, and starts a bus.

mod bus;
mod contracts;
mod fleet;
mod servers;

use tidings::report;

use crate::app::App;
use crate::commands::doctor::command::line_of;
use crate::commands::doctor::facts::{Facts, JournalFacts, Server};
use crate::commands::schema::exceptions;
use crate::connect::{self, prepare};
use crate::settings::Settings;

/// Asks everything at once. Fails if nothing answers: there is nothing to check then.
pub(crate) async fn gather(app: &App, settings: &Settings) -> anyhow::Result<Facts> {
    prepare(app, settings);
    let admin = connect::builder(app, settings).admin()?;
    let admin = admin.timeout(app.global.timeout);
    let (bus, servers) = tokio::join!(bus::look(app, settings), servers::look(&admin, settings),);
    let (servers, unlocated) = match servers {
        Ok(servers) => (servers, None),
        Err(error) => (Vec::new(), Some(report(&error).to_string())),
    };
    let is_silent = servers.iter().all(|server| server.state.is_err());
    let bus = match bus {
        Err(error) if is_silent => return Err(error.into()),
        bus => bus,
    };
    let (sentinels, servers): (Vec<_>, Vec<_>) =
        servers.into_iter().partition(|server| server.is_sentinel);
    let journal = servers.iter().find_map(journal);
    let (bus, fleet) = fleet::look(app, bus, exceptions()).await;
    let address = settings.url.value.to_string();
    Ok(Facts {
        options: options(app, settings),
        unlocated,
        topology: admin.topology(),
        is_tls: is_tls(&address),
        hosts: hosts(&address),
        namespace: settings.namespace.value.clone(),
        servers,
        sentinels,
        bus,
        fleet,
        journal,
    })
}

fn is_tls(address: &str) -> bool {
    address.starts_with("rediss") || address.starts_with("valkeys")
}

/// Returns the options of the address and the namespace that this command was called with. An address
/// with a password is a variable of the shell.
fn options(app: &App, settings: &Settings) -> Vec<String> {
    let global = &app.global;
    let mut options = Vec::new();
    if let Some(context) = &global.context {
        options.push(line_of("-c", &[&[context]]));
    }
    if let Some(url) = &global.url {
        options.push(if settings.url.value.has_password() {
            "--url \"${URL:?}\"".to_owned()
        } else {
            line_of("--url", &[&[url]])
        });
    }
    if let Some(namespace) = &global.namespace {
        options.push(line_of("-n", &[&[namespace]]));
    }
    options
}

fn journal(server: &Server) -> Option<Result<JournalFacts, String>> {
    server.state.as_ref().ok()?.journal.clone()
}

/// Returns the number of hosts in an address without a login.
fn hosts(address: &str) -> usize {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let hosts = rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts);
    let hosts = hosts.split(['/', '?']).next().unwrap_or_default();
    hosts.split(',').filter(|host| !host.is_empty()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_of_an_address_are_counted() {
        assert_eq!(hosts("redis://127.0.0.1:6379/2"), 1);
        assert_eq!(
            hosts("redis+sentinel://shop:…@a:1,b:2,[::1]:3/mymaster?…"),
            3
        );
    }
}
