//! `tidings send`: sends an event, and names the members that handled it.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tidings::{Bus, Member, NodeId, Receipt, RequestError, SendError, Sending, Summary};

use crate::app::App;
use crate::args::Send;
use crate::commands::feed::feed;
use crate::commands::members::short;
use crate::commands::schema::check_payload;
use crate::confirm;
use crate::connect::connect_to_send;
use crate::declared;
use crate::exit::{Exit, Problem};
use crate::outcome::Outcome;
use crate::output;
use crate::payload;
use crate::recipient::Recipients;
use crate::terminal::{Style, escape, escape_lines, print_labeled};

/// The event that is sent.
pub(crate) struct Event<'a> {
    pub(crate) bus: &'a Bus,
    pub(crate) name: &'a str,
    pub(crate) data: Value,
    pub(crate) headers: &'a [(String, String)],
}

/// The outcome of a send that was waited for.
pub(crate) struct Acknowledged {
    pub(crate) summary: Summary,
    pub(crate) exit: Exit,
    /// The names of the members that it was sent to one by one.
    names: String,
}

pub(crate) async fn send(app: &App, args: &Send) -> anyhow::Result<Exit> {
    if args.event == "-" {
        return feed(app, args).await;
    }
    if args.replay {
        let text = "--replay is for the events of standard input: `tidings send - --replay`";
        return Err(Problem::usage(text).into());
    }
    let data = payload::read(
        &args.payload,
        &format!("tidings send {}", escape(&args.event)),
    )?;
    if !args.force {
        check_payload(app, &args.event, &data)?;
    }
    let settings = app.settings()?;
    confirm::write(app, &settings)?;
    let bus = connect_to_send(app, &settings, args.journal).await?;
    let to = Recipients::find(&bus, &args.to).await?;
    let event = Event {
        bus: &bus,
        name: &args.event,
        data,
        headers: &args.header,
    };
    if !args.force {
        declared::check(app, &bus, &args.event).await?;
    }
    let namespace = escape(&settings.namespace.value);
    if args.ack {
        let sent = event.acknowledged(&to, app.global.timeout).await?;
        let whom = many(&to, &namespace).unwrap_or(sent.names);
        print_acknowledged(app, &event, &whom, &sent.summary)?;
        return Ok(sent.exit);
    }
    let receipt = match &to {
        Recipients::Members(members) => return event.to_each(app, members).await,
        Recipients::All => event.sent(bus.send_to_all(event.name, &event.data)).await?,
        Recipients::Others => {
            let sending = bus.send_to_others(event.name, &event.data);
            event.sent(sending).await?
        }
    };
    let whom = many(&to, &namespace).unwrap_or_default();
    print_sent(app, &event, &whom, receipt, None)?;
    Ok(Exit::Done)
}

/// Names the receivers, unless they are single members.
fn many(to: &Recipients, namespace: &str) -> Option<String> {
    match to {
        Recipients::All => Some(format!("all of {namespace}")),
        Recipients::Others => Some(format!("all others of {namespace}")),
        Recipients::Members(_) => None,
    }
}

impl Event<'_> {
    /// Sends the event, and waits until the receivers have handled it.
    pub(crate) async fn acknowledged(
        &self,
        to: &Recipients,
        timeout: Duration,
    ) -> anyhow::Result<Acknowledged> {
        let (bus, name, data) = (self.bus, self.name, &self.data);
        let mut summary = match to {
            Recipients::Members(members) => return self.acknowledged_by(members, timeout).await,
            Recipients::All => self.handled(bus.send_to_all(name, data), timeout).await?,
            Recipients::Others => {
                let sending = bus.send_to_others(name, data);
                self.handled(sending, timeout).await?
            }
        };
        forget(&mut summary, bus.id());
        Ok(Acknowledged {
            exit: exit_of(&summary),
            summary,
            names: String::new(),
        })
    }

    /// Sends the event to each of these members.
    async fn to_each(&self, app: &App, members: &[Member]) -> anyhow::Result<Exit> {
        let sends = members.iter().map(async |member| {
            let sending = self.bus.send_to(member.id, self.name, &self.data);
            (member, self.sent(sending).await.map_err(Into::into))
        });
        let outcome = Outcome::of(join_all(sends).await)?;
        for (member, error) in &outcome.failed {
            let name = escape(&member.name);
            let text = format!(
                "not sent to {name}: {}",
                escape_lines(format_args!("{error:#}"))
            );
            print_labeled(Style::Error, "error", &text);
        }
        let Some((_, last)) = outcome.done.last() else {
            return Err(Problem::failed("the event has no receiver").into());
        };
        let whom = names(outcome.done.iter().map(|(member, _)| *member));
        print_sent(app, self, &whom, *last, Some(&outcome))?;
        Ok(outcome.exit(Exit::Done))
    }

    /// Sends the event to each of these members, and waits until they have handled it.
    async fn acknowledged_by(
        &self,
        members: &[Member],
        timeout: Duration,
    ) -> anyhow::Result<Acknowledged> {
        let sends = members.iter().map(async |member| {
            let sending = self.bus.send_to(member.id, self.name, &self.data);
            let handled = self.handled(sending, timeout).await;
            (member, handled.map_err(Into::into))
        });
        let outcome = Outcome::of(join_all(sends).await)?;
        let mut summary = merged(outcome.done.iter().map(|(_, summary)| summary.clone()));
        for (member, error) in &outcome.failed {
            let member = (*member).clone().into();
            summary.failed.push((member, format!("{error:#}")));
        }
        forget(&mut summary, self.bus.id());
        Ok(Acknowledged {
            exit: outcome.exit(exit_of(&summary)),
            names: names(outcome.done.iter().map(|(member, _)| *member)),
            summary,
        })
    }

    async fn sent<F>(&self, sending: Sending<'_, &str, Value, F>) -> Result<Receipt, SendError>
    where
        F: Future<Output = Result<Receipt, SendError>>,
    {
        let Some(((name, value), more)) = self.headers.split_first() else {
            return sending.await;
        };
        let first = sending.header(name, value);
        more.iter()
            .fold(first, |sending, (name, value)| sending.header(name, value))
            .await
    }

    async fn handled<F>(
        &self,
        sending: Sending<'_, &str, Value, F>,
        timeout: Duration,
    ) -> Result<Summary, RequestError> {
        let Some(((name, value), more)) = self.headers.split_first() else {
            return sending.acknowledged(timeout).await;
        };
        let first = sending.header(name, value);
        let all = more
            .iter()
            .fold(first, |sending, (name, value)| sending.header(name, value));
        all.acknowledged(timeout).await
    }
}

/// Removes this program from a summary: it receives what is sent to all, and has no handler.
fn forget(summary: &mut Summary, me: NodeId) {
    summary.without_handler.retain(|it| it.node != me);
    summary.unexpected.retain(|node| *node != me);
}

/// Returns one summary of the sends to several members.
fn merged(summaries: impl Iterator<Item = Summary>) -> Summary {
    let mut all = Summary::default();
    for one in summaries {
        all.handled.extend(one.handled);
        all.failed.extend(one.failed);
        all.without_handler.extend(one.without_handler);
        all.timed_out.extend(one.timed_out);
        all.left.extend(one.left);
        all.unexpected.extend(one.unexpected);
        all.dropped += one.dropped;
        all.timeout = one.timeout;
    }
    all
}

/// Returns the exit code that tells whether all receivers have handled it.
pub(crate) fn exit_of(summary: &Summary) -> Exit {
    match summary {
        summary if !summary.is_complete() => Exit::Incomplete,
        summary if summary.handled.is_empty() => Exit::Nobody,
        _ => Exit::Done,
    }
}

/// Returns the names of members.
fn names<'a>(members: impl Iterator<Item = &'a Member>) -> String {
    let names: Vec<_> = members.map(|member| escape(&member.name)).collect();
    names.join(", ")
}

/// Prints the receipt of the last send, and as JSON those of all members that it was sent to.
fn print_sent(
    app: &App,
    event: &Event<'_>,
    whom: &str,
    receipt: Receipt,
    each: Option<&Outcome<&Member, Receipt>>,
) -> anyhow::Result<()> {
    let (sequence, node) = (receipt.sequence, event.bus.id());
    if app.is_json() {
        let mut object = described(receipt);
        object["event"] = event.name.into();
        object["node"] = json!(node);
        if let Some(outcome) = each {
            object["members"] = each_described(outcome);
        }
        return output::json(&object);
    }
    let (name, node) = (escape(event.name), short(node));
    output::result(format_args!(
        "sent {name} to {whom} (number {sequence} of node {node})"
    ))
}

fn described(receipt: Receipt) -> Value {
    json!({
        "sequence": receipt.sequence,
        "receivers": receipt.receivers,
        "position": receipt.position(),
    })
}

fn each_described(outcome: &Outcome<&Member, Receipt>) -> Value {
    let of = |member: &Member, mut object: Value, error: Option<String>| {
        object["id"] = json!(member.id);
        object["name"] = json!(member.name);
        object["error"] = json!(error);
        object
    };
    let done = outcome.done.iter();
    let done = done.map(|(member, receipt)| of(member, described(*receipt), None));
    let failed = outcome.failed.iter();
    let failed = failed.map(|(member, error)| of(member, json!({}), Some(format!("{error:#}"))));
    done.chain(failed).collect()
}

fn print_acknowledged(
    app: &App,
    event: &Event<'_>,
    whom: &str,
    summary: &Summary,
) -> anyhow::Result<()> {
    if app.is_json() {
        let node = event.bus.id();
        return output::json(&json!({ "event": event.name, "node": node, "summary": summary }));
    }
    output::result(format_args!(
        "sent {} to {whom}\n{summary}",
        escape(event.name)
    ))
}
