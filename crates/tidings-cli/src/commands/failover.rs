//! `tidings failover`: hands over to a replica, without a loss.

mod loss;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tidings::Bus;
use tidings::admin::{FailoverError, FailoverPlan, FailoverReport, FailoverStep};

use self::loss::{Losses, Members};
use crate::app::App;
use crate::args::Failover;
use crate::confirm;
use crate::connect::{builder, connect};
use crate::exit::{Exit, Problem};
use crate::interrupt::interrupted;
use crate::output;
use crate::settings::Settings;
use crate::terminal::{count, escape};
use crate::time::milliseconds;

pub(crate) async fn failover(app: &App, args: &Failover) -> anyhow::Result<Exit> {
    let settings = app.settings()?;
    // Also finds out that the address cannot be reached.
    let bus = connect(app, &settings).await?;
    let admin = builder(app, &settings).admin()?;
    let plan = admin
        .plan_failover(&args.to)
        .await
        .map_err(|error| problem(&error))?;
    let before = Members::inspect(&bus, app.global.timeout).await?;
    announce(app, &settings, &plan);
    confirm::failover(app, &settings, &escape(&plan.from))?;
    let (from, to) = (plan.from.clone(), plan.to.clone());
    let report = run(app, plan).await?;
    let losses = losses(app, &bus, &before).await;
    print(app, (&from, &to), &report, &losses)?;
    let have_followed = report.followed == report.subscribers;
    let is_clean = losses.is_clean() && have_followed && report.problems.is_empty();
    Ok(if is_clean {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

fn announce(app: &App, settings: &Settings, plan: &FailoverPlan) {
    let behind = match plan.lag_bytes {
        Some(bytes) => format!(", {bytes} bytes behind"),
        None => String::new(),
    };
    let name = settings
        .context
        .as_ref()
        .map(|context| format!("{}: ", context.value));
    let name = name.unwrap_or_default();
    let (from, to) = (&plan.from, &plan.to);
    app.remark(escape(format_args!(
        "{name}{from} hands over to {to}{behind}"
    )));
    app.remark("writes stop for about two seconds");
}

/// Runs the plan, and prints each step. SIGINT and SIGTERM end it before writes are paused. After that,
/// an end would lose events, and the rest is bounded.
async fn run(app: &App, plan: FailoverPlan) -> anyhow::Result<FailoverReport> {
    let (is_quiet, is_json) = (app.global.quiet, app.is_json());
    let is_paused = AtomicBool::new(false);
    let running = plan.run_unless(interrupted(), |step, after| {
        is_paused.fetch_or(step == FailoverStep::Paused, Ordering::Relaxed);
        if !is_quiet && !is_json {
            let _ = output::result(line(step, after));
        }
    });
    let mut running = pin!(running);
    loop {
        tokio::select! {
            report = &mut running => return Ok(report.map_err(|error| problem(&error))?),
            () = interrupted() => {
                if is_paused.load(Ordering::Relaxed) {
                    app.warn("writes are paused, and an end now would lose events: it goes on, for \
                              30 seconds as a rule at most");
                }
            }
        }
    }
}

fn line(step: FailoverStep, after: Duration) -> String {
    format!("  {:>6.2}s  {step}", after.as_secs_f64())
}

/// Waits until every member receives again, and compares what it has missed.
async fn losses(app: &App, bus: &Bus, before: &Members) -> Losses {
    let after = tokio::select! {
        after = before.that_receive(bus, app.global.timeout) => after,
        () = interrupted() => Members::unknown(),
    };
    Losses::between(before, &after)
}

fn print(
    app: &App,
    (from, to): (&str, &str),
    report: &FailoverReport,
    losses: &Losses,
) -> anyhow::Result<()> {
    if app.is_json() {
        let steps = report.steps.iter().map(|(step, after)| {
            let step = step.to_string().replace(' ', "_");
            (step, json!(milliseconds(*after)))
        });
        return output::json(&json!({
            "from": from,
            "to": to,
            "steps": Value::Object(steps.collect::<Map<_, _>>()),
            "subscribers": report.subscribers,
            "followed": report.followed,
            "members": losses.members,
            "receiving": losses.receiving,
            "unknown": losses.unknown,
            "received": losses.received,
            "missed": losses.missed,
            "problems": report.problems,
        }));
    }
    for problem in &report.problems {
        app.warn(&escape(problem));
    }
    let members = count(losses.members, "member");
    let events = count(losses.received, "event");
    let unknown = match losses.unknown {
        0 => String::new(),
        unknown => format!("; {}: not yet known", count(unknown, "member")),
    };
    output::result(format_args!(
        "{} of {members} receive; {} of {events} missed{unknown}",
        losses.receiving, losses.missed
    ))
}

fn problem(error: &FailoverError) -> Problem {
    let exit = if error.is_unknown() {
        Exit::Unknown
    } else {
        match error {
            FailoverError::NoSuchReplica { .. } => Exit::Nobody,
            FailoverError::OtherPromoted { .. } => Exit::Incomplete,
            _ => Exit::Failed,
        }
    };
    Problem::new(exit, tidings::report(error).to_string())
        .help("`tidings servers` shows the servers")
}
