//! `tidings request`: sends a request, and prints the responses as they arrive.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tidings::{Bus, Member, RequestError, Responder, Response, ResponseError, Summary, report};

use crate::app::App;
use crate::args;
use crate::commands::schema::check_payload;
use crate::commands::send::exit_of;
use crate::confirm;
use crate::connect::connect;
use crate::exit::Exit;
use crate::outcome::Outcome;
use crate::output;
use crate::payload;
use crate::recipient::Recipients;
use crate::terminal::{Style, escape, escaped_json, paint};

/// A request, and what has become of it.
struct Asking<'a> {
    app: &'a App,
    bus: &'a Bus,
    event: &'a str,
    data: Value,
    headers: &'a [(String, String)],
    since: Instant,
}

pub(crate) async fn request(app: &App, args: &args::Request) -> anyhow::Result<Exit> {
    let command = format!("tidings request {}", escape(&args.event));
    let data = payload::read(&args.payload, &command)?;
    if !args.force {
        check_payload(app, &args.event, &data)?;
    }
    let settings = app.settings()?;
    confirm::write(app, &settings)?;
    let bus = connect(app, &settings).await?;
    let to = Recipients::find(&bus, &args.to).await?;
    let asking = Asking {
        app,
        bus: &bus,
        event: &args.event,
        data,
        headers: &args.header,
        since: Instant::now(),
    };
    let (summary, exit) = match &to {
        Recipients::All | Recipients::Others => {
            let summary = asking.all().await?;
            let exit = exit_of(&summary);
            (summary, exit)
        }
        Recipients::Members(members) => asking.each(members).await?,
    };
    if app.is_json() {
        output::json(&json!({ "event": args.event, "summary": summary }))?;
    } else {
        output::result(paint(Style::Dim, &summary))?;
    }
    Ok(exit)
}

impl Asking<'_> {
    /// Asks all members. This program is none, so `all` and `others` are the same.
    async fn all(&self) -> anyhow::Result<Summary> {
        let request = self
            .bus
            .request_others::<Value, _, _>(self.event, &self.data);
        let request = request.timeout(self.timeout());
        let request = self
            .headers
            .iter()
            .fold(request, |it, (name, value)| it.header(name, value));
        let mut responses = request.await?;
        while let Some(response) = responses.next().await {
            self.print(&response)?;
        }
        Ok(responses.summary().await)
    }

    /// Asks each of these members.
    async fn each(&self, members: &[Member]) -> anyhow::Result<(Summary, Exit)> {
        let asked = members
            .iter()
            .map(async |member| (member, self.one(member).await));
        let mut asked: FuturesUnordered<_> = asked.collect();
        let mut summary = Summary::default();
        summary.timeout = self.timeout();
        let mut results = Vec::new();
        while let Some((member, response)) = asked.next().await {
            let result = match response {
                Ok(response) => {
                    self.print(&response)?;
                    record(&mut summary, response);
                    Ok(())
                }
                Err(RequestError::TimedOut { .. }) => {
                    summary.timed_out.push(member.clone().into());
                    Ok(())
                }
                Err(RequestError::Left { .. }) => {
                    summary.left.push(member.clone().into());
                    Ok(())
                }
                Err(error) => Err(error.into()),
            };
            results.push((member, result));
        }
        let outcome = Outcome::of(results)?;
        for (member, error) in &outcome.failed {
            let member = (*member).clone().into();
            summary.failed.push((member, format!("{error:#}")));
        }
        let exit = outcome.exit(exit_of(&summary));
        Ok((summary, exit))
    }

    async fn one(&self, member: &Member) -> Result<Response<Value>, RequestError> {
        let request = self
            .bus
            .request::<Value, _, _>(member.id, self.event, &self.data);
        let request = request.timeout(self.timeout());
        self.headers
            .iter()
            .fold(request, |it, (name, value)| it.header(name, value))
            .await
    }

    fn timeout(&self) -> Duration {
        self.app.global.timeout
    }

    fn print(&self, response: &Response<Value>) -> anyhow::Result<()> {
        let took = self.since.elapsed();
        let error = response
            .value
            .as_ref()
            .err()
            .map(|error| report(error).to_string());
        if self.app.is_json() {
            return output::stream(output::versioned(&json!({
                "responder": response.responder,
                "value": response.value.as_ref().ok(),
                "error": error,
                "took": milliseconds(took),
            }))?);
        }
        let name = name(&response.responder);
        match &response.value {
            Ok(value) => {
                let value = escaped_json(value, false)?;
                let took = paint(Style::Dim, format_args!("{:.1} ms", milliseconds(took)));
                output::stream(format_args!("{name}  {value}  {took}"))
            }
            Err(ResponseError::NoHandler) => {
                output::stream(paint(Style::Dim, format_args!("{name}  has no handler")))
            }
            Err(_) => {
                let error = paint(Style::Error, escape(error.unwrap_or_default()));
                output::stream(format_args!("{name}  failed: {error}"))
            }
        }
    }
}

fn record(summary: &mut Summary, response: Response<Value>) {
    let who = response.responder;
    match response.value {
        Ok(_) => summary.handled.push(who),
        Err(ResponseError::NoHandler) => summary.without_handler.push(who),
        Err(error) => summary.failed.push((who, report(&error).to_string())),
    }
}

fn name(responder: &Responder) -> String {
    paint(Style::Heading, escape(responder))
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
