//! `tidings send`: sends an event, and names the members that handled it.

use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tidings::{Bus, NodeId, Receipt, RequestError, SendError, Sending, Summary};

use crate::app::App;
use crate::args::Send;
use crate::commands::feed::feed;
use crate::commands::members::short;
use crate::confirm;
use crate::connect::connect_to_send;
use crate::exit::{Exit, Problem, in_part};
use crate::output;
use crate::payload;
use crate::recipient::Recipients;
use crate::terminal::escape;

/// The event that is sent.
struct Event<'a> {
    bus: &'a Bus,
    name: &'a str,
    data: Value,
    headers: &'a [(String, String)],
}

pub(crate) async fn send(app: &App, args: &Send) -> anyhow::Result<Exit> {
    if args.event == "-" {
        return feed(app, args).await;
    }
    let data = payload::read(
        &args.payload,
        &format!("tidings send {}", escape(&args.event)),
    )?;
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
    let whom = whom(&to, &settings.namespace.value);
    if args.ack {
        let summary = event.acknowledged(&to, app.global.timeout).await?;
        print_acknowledged(app, &event, &whom, &summary)?;
        return Ok(exit_of(&summary));
    }
    let receipt = event.send(&to).await?;
    print_sent(app, &event, &whom, receipt)?;
    Ok(Exit::Done)
}

impl Event<'_> {
    async fn send(&self, to: &Recipients) -> anyhow::Result<Receipt> {
        let (bus, name, data) = (self.bus, self.name, &self.data);
        let sent = match to {
            Recipients::All => self.sent(bus.send_to_all(name, data)).await,
            Recipients::Others => self.sent(bus.send_to_others(name, data)).await,
            Recipients::Members(members) => {
                let mut last = None;
                for member in members {
                    let sent = self.sent(bus.send_to(member.id, name, data)).await;
                    last = Some(sent.map_err(|error| in_part(error, last.is_some()))?);
                }
                return last.ok_or_else(|| Problem::failed("the event has no receiver").into());
            }
        };
        Ok(sent?)
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

    async fn acknowledged(&self, to: &Recipients, timeout: Duration) -> anyhow::Result<Summary> {
        let (bus, name, data) = (self.bus, self.name, &self.data);
        let mut summary = match to {
            Recipients::All => self.handled(bus.send_to_all(name, data), timeout).await?,
            Recipients::Others => {
                self.handled(bus.send_to_others(name, data), timeout)
                    .await?
            }
            Recipients::Members(members) => {
                let each = members.iter();
                let each = each.map(|it| self.handled(bus.send_to(it.id, name, data), timeout));
                let summaries = try_join_all(each).await;
                merged(summaries.map_err(|error| match error {
                    RequestError::Send(error) => in_part(error, members.len() > 1),
                    error => error.into(),
                })?)
            }
        };
        forget(&mut summary, bus.id());
        Ok(summary)
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
fn merged(summaries: Vec<Summary>) -> Summary {
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

/// Describes the receivers.
fn whom(to: &Recipients, namespace: &str) -> String {
    match to {
        Recipients::All => format!("all of {}", escape(namespace)),
        Recipients::Others => format!("all others of {}", escape(namespace)),
        Recipients::Members(members) => {
            let names: Vec<_> = members.iter().map(|member| escape(&member.name)).collect();
            names.join(", ")
        }
    }
}

fn print_sent(app: &App, event: &Event<'_>, whom: &str, receipt: Receipt) -> anyhow::Result<()> {
    let (sequence, node) = (receipt.sequence, event.bus.id());
    if app.is_json() {
        return output::json(&json!({
            "event": event.name,
            "node": node,
            "sequence": sequence,
            "receivers": receipt.receivers,
            "position": receipt.position(),
        }));
    }
    let (name, node) = (escape(event.name), short(node));
    output::result(format_args!(
        "sent {name} to {whom} (number {sequence} of node {node})"
    ))
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
