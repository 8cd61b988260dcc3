//! `tidings listen`: prints events as they arrive, with the losses where they happened.

mod print;
mod rates;
mod tally;

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use tidings::{Bus, Journal, Member, Since, Tap, TapItem, TapOptions, TappedEvent};
use tokio::time::{Instant, sleep, sleep_until};

use self::print::Printer;
pub(crate) use self::rates::Rates;
use self::tally::Tally;
use crate::app::App;
use crate::args::Listen;
use crate::connect::{builder, connect, has_journal, known_members};
use crate::exit::{Exit, OutputClosed};
use crate::interrupt::interrupted;
use crate::settings::Settings;
use crate::terminal::escape;
use crate::writer::{Part, Writer};

/// The time between two blocks of rates.
const SECOND: Duration = Duration::from_secs(1);

/// The longest time that `--for` means.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// The number of lines that wait for a slow reader; further ones wait in the tap, which counts what
/// does not fit.
const WAITING: usize = 64;

/// The next thing to print.
enum Next {
    Item(Box<TapItem>),
    Second,
}

impl Next {
    fn is_event(&self) -> bool {
        matches!(self, Self::Item(item) if matches!(**item, TapItem::Event(_)))
    }
}

struct Listening<'a> {
    args: &'a Listen,
    tally: Tally,
    rates: Rates,
    printer: Printer,
    writer: Writer,
}

pub(crate) async fn listen(app: &App, args: &Listen) -> anyhow::Result<Exit> {
    let settings = app.settings()?;
    let (bus, mut tap, members) = open(app, &settings, args.since).await?;
    let interrupted = interrupted();
    let about = (&settings.namespace.value, &settings.url.value);
    app.remark(escape(format_args!(
        "listening to {} at {}",
        about.0, about.1
    )));
    let mut listening = Listening {
        args,
        tally: Tally::default(),
        rates: Rates::start(),
        printer: Printer::new(app.is_json(), members),
        writer: Writer::start(WAITING),
    };
    let ended = listening.run(&mut tap, interrupted).await;
    let Listening {
        mut tally,
        printer,
        writer,
        ..
    } = listening;
    // What is left was received and is not printed.
    while let Some(Some(item)) = tap.next().now_or_never() {
        tally.skip(&item, |event| is_wanted(args, event));
    }
    drop(bus);
    let end = printer.end(&tally)?;
    let last = if app.is_json() && ended.is_ok() {
        Some(Part::Line(end))
    } else {
        app.remark(end);
        None
    };
    writer.finish(ended.map(|()| last)).await?;
    Ok(match args.count {
        Some(count) if tally.events < count && !tally.is_interrupted => Exit::Incomplete,
        _ => Exit::Done,
    })
}

/// Starts a bus with a tap. It follows the journal if the members have one.
async fn open(
    app: &App,
    settings: &Settings,
    since: Option<Duration>,
) -> anyhow::Result<(Bus, Tap, Vec<Member>)> {
    let bus = connect(app, settings).await?;
    let tap = bus.tap(TapOptions::new())?;
    let members = known_members(&bus).await;
    if since.is_none() && !has_journal(&members) {
        return Ok((bus, tap, members));
    }
    let (bus, tap) = follow_journal(app, settings, since).await?;
    Ok((bus, tap, members))
}

/// Starts a bus with a tap that follows the journal.
pub(crate) async fn follow_journal(
    app: &App,
    settings: &Settings,
    since: Option<Duration>,
) -> anyhow::Result<(Bus, Tap)> {
    // Members with a journal have created it.
    let journal = Journal::default().follow_only().create(since.is_none());
    let journal = journal.since(since.map_or(Since::Now, Since::Ago));
    let builder = builder(app, settings).journal(journal);
    Ok(builder.start_with_tap(TapOptions::new()).await?)
}

impl Listening<'_> {
    /// Prints until the end of the time, the last event or a signal.
    async fn run(
        &mut self,
        tap: &mut Tap,
        interrupted: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let time = self.args.time.unwrap_or(LONGEST).min(LONGEST);
        let mut ended = pin!(async {
            tokio::select! {
                () = interrupted => true,
                () = sleep(time) => false,
            }
        });
        let mut second = Instant::now() + SECOND;
        while self
            .args
            .count
            .is_none_or(|count| self.tally.events < count)
        {
            let next = tokio::select! {
                biased;
                is_interrupted = &mut ended => {
                    self.tally.is_interrupted = is_interrupted;
                    return Ok(());
                }
                () = self.writer.closed() => return Err(OutputClosed.into()),
                () = sleep_until(second), if self.args.rates => Next::Second,
                item = tap.next() => match item {
                    Some(item) => Next::Item(Box::new(item)),
                    None => return Ok(()),
                },
            };
            let Some(part) = self.part(&next)? else {
                continue;
            };
            // The reader may be slow, or stuck.
            tokio::select! {
                biased;
                is_interrupted = &mut ended => {
                    self.tally.is_interrupted = is_interrupted;
                    self.tally.not_printed += u64::from(next.is_event());
                    return Ok(());
                }
                written = self.writer.write(part) => written?,
            }
            match next {
                // After a stall, one block has the rates of all of it.
                Next::Second => second = Instant::now() + SECOND,
                Next::Item(item) => self.tally.count(&item),
            }
        }
        Ok(())
    }

    /// Returns what is printed of an item, if anything. What is not is counted here.
    fn part(&mut self, next: &Next) -> anyhow::Result<Option<Part>> {
        let item = match next {
            Next::Second => {
                let rates = self.printer.rates(&self.rates.take_per_second())?;
                let is_json = self.printer.is_json;
                return Ok(Some(if is_json {
                    Part::Line(rates)
                } else {
                    Part::Block(rates)
                }));
            }
            Next::Item(item) => &**item,
        };
        let line = match item {
            TapItem::Event(event) if !is_wanted(self.args, event) => Ok(None),
            TapItem::Event(event) if self.args.rates => {
                self.tally.count(item);
                self.rates.count(event.name());
                Ok(None)
            }
            TapItem::Event(event) => self.printer.event(event).map(Some),
            TapItem::Gap(gap) => self.printer.gap(gap).map(Some),
            TapItem::Unreadable(frame) => self.printer.unreadable(frame).map(Some),
            _ => Ok(None),
        };
        Ok(line?.map(Part::Line))
    }
}

fn is_wanted(args: &Listen, event: &TappedEvent) -> bool {
    let name = event.name();
    if event.is_control() && !args.control {
        return false;
    }
    args.names.is_empty() || args.names.iter().any(|pattern| matches(pattern, name))
}

/// Returns whether the name is that of the pattern, in which `*` stands for any characters.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(start) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(place) = name.find(part) else {
            return false;
        };
        name = &name[place + part.len()..];
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, yes, no) in [
            (
                "user.renamed",
                &["user.renamed"][..],
                &["user.renamed2", "user"][..],
            ),
            ("user.*", &["user.renamed", "user."], &["users.x", "user"]),
            ("*.placed", &["order.placed"], &["order.placed2"]),
            ("a*b*c", &["abc", "axbxc", "abbcc"], &["ab", "acb", "abcx"]),
            ("*", &["a", ""], &[]),
            ("ab*ba", &["abba", "abxba"], &["aba"]),
        ] {
            for name in yes {
                assert!(matches(pattern, name), "{pattern} {name}");
            }
            for name in no {
                assert!(!matches(pattern, name), "{pattern} {name}");
            }
        }
    }
}
