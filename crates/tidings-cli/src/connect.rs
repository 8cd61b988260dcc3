//! Connects to the bus of the settings.

use std::time::Duration;

use tidings::{Bus, BusBuilder, Journal, StartError};
use tracing_subscriber::filter::LevelFilter;

use crate::app::App;
use crate::settings::{Settings, Source};

/// Starts a bus that is no member, with a journal if the members have one.
pub(crate) async fn connect(app: &App, settings: &Settings) -> anyhow::Result<Bus> {
    log(app.global.verbose);
    if settings.url.source == Source::Flag("--url") && settings.url.value.has_password() {
        app.warn("other users of this machine can see the password in --url (use a context)");
    }
    let connected = match builder(app, settings).start().await {
        Err(StartError::JournalMissing { .. }) => with_journal(app, settings).await,
        started => started,
    };
    Ok(connected?)
}

/// Starts a bus whose events are in the journal. It removes nothing from there: the members decide how
/// much of it is kept.
async fn with_journal(app: &App, settings: &Settings) -> Result<Bus, StartError> {
    let journal = || {
        Journal::default()
            .max_age(Duration::MAX)
            .max_bytes(u64::MAX)
    };
    match builder(app, settings).journal(journal()).start().await {
        Err(StartError::JournalUnread { .. }) => {
            let journal = journal().follow_only();
            builder(app, settings).journal(journal).start().await
        }
        started => started,
    }
}

pub(crate) fn builder(app: &App, settings: &Settings) -> BusBuilder {
    let builder = Bus::builder(settings.url.value.secret())
        .namespace(&settings.namespace.value)
        .name("tidings")
        .membership(false)
        .auto_register(false)
        .start_timeout(app.global.timeout)
        .send_timeout(app.global.timeout);
    match &settings.password_file {
        Some(file) => builder.password_file(&file.value),
        None => builder,
    }
}

/// Prints the log of the bus to standard error.
fn log(verbosity: u8) {
    let level = match verbosity {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt()
        .with_writer(anstream::stderr)
        .with_max_level(level);
    // A second bus of one command has the log of the first.
    let _ = log.try_init();
}
