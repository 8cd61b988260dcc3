//! Connects to the bus of the settings.

use std::time::Duration;

use tidings::{Bus, BusBuilder, Journal, Member, MembersError};
use tracing_subscriber::filter::LevelFilter;

use crate::app::App;
use crate::settings::{Settings, Source};
use crate::terminal::escape;

/// Starts a bus that is no member.
pub(crate) async fn connect(app: &App, settings: &Settings) -> anyhow::Result<Bus> {
    prepare(app, settings);
    Ok(builder(app, settings).start().await?)
}

/// Starts a bus that is no member, with a journal.
pub(crate) async fn connect_with(
    app: &App,
    settings: &Settings,
    journal: Journal,
) -> anyhow::Result<Bus> {
    prepare(app, settings);
    // It only trims what it is told to.
    let journal = journal.max_age(Duration::MAX).max_bytes(u64::MAX);
    Ok(builder(app, settings).journal(journal).start().await?)
}

/// Starts a bus that is no member, and sends to the journal if the members do or it `is_forced`. It
/// removes nothing from there: the members decide how much of it is kept.
pub(crate) async fn connect_to_send(
    app: &App,
    settings: &Settings,
    is_forced: bool,
) -> anyhow::Result<Bus> {
    let bus = connect(app, settings).await?;
    to_send(app, settings, bus, is_forced).await
}

/// Returns this bus, or another one that sends to the journal if the members do or it `is_forced`.
pub(crate) async fn to_send(
    app: &App,
    settings: &Settings,
    bus: Bus,
    is_forced: bool,
) -> anyhow::Result<Bus> {
    if !is_forced && !is_journal_used(app, &bus).await? {
        return Ok(bus);
    }
    let journal = Journal::default()
        .max_age(Duration::MAX)
        .max_bytes(u64::MAX);
    Ok(builder(app, settings).journal(journal).start().await?)
}

/// Returns whether a member sends to the journal. Only a user who may not list the members sends an event
/// without the answer: a durable reader does not get it.
async fn is_journal_used(app: &App, bus: &Bus) -> Result<bool, MembersError> {
    match bus.members().await {
        Ok(members) => Ok(has_journal(&members)),
        Err(error) if matches!(&error, MembersError::Unread { reason } if reason.is_denied()) => {
            let text = "no event is sent to their journal, if they have one (--journal does)";
            app.warn(&format!("{}: {text}", escape(error)));
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Returns the members, or none to a user who may not list them.
pub(crate) async fn known_members(bus: &Bus) -> Vec<Member> {
    bus.members().await.unwrap_or_default()
}

/// Returns whether one of the members sends to the journal.
pub(crate) fn has_journal(members: &[Member]) -> bool {
    members.iter().any(|member| member.has_journal)
}

/// Begins the log, and warns of a password in the arguments.
pub(crate) fn prepare(app: &App, settings: &Settings) {
    log(app.global.verbose);
    if settings.url.source == Source::Flag("--url") && settings.url.value.has_password() {
        app.warn("other users of this machine can see the password in --url (use a context)");
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
    let log = tracing_subscriber::fmt()
        .with_writer(anstream::stderr)
        .with_max_level(log_level(verbosity).unwrap_or(LevelFilter::OFF));
    // A second bus of one command has the log of the first.
    let _ = log.try_init();
}

/// Returns the level of the log for this many `-v`. `None` without one.
pub(crate) fn log_level(verbosity: u8) -> Option<LevelFilter> {
    match verbosity {
        0 => None,
        1 => Some(LevelFilter::INFO),
        2 => Some(LevelFilter::DEBUG),
        _ => Some(LevelFilter::TRACE),
    }
}
