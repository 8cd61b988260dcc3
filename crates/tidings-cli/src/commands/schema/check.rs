//! `tidings schema check`: compares the contract with that of another revision.

use std::path::Path;
use std::time::SystemTime;

use crate::app::App;
use crate::args::{Check, ReportFormat};
use crate::commands::schema::fleet::contracts;
use crate::commands::schema::git::Git;
use crate::commands::schema::print::{Compared, Printer};
use crate::commands::schema::source::{
    Read, not_compared, parse, path_of, read, read_any, read_revision,
};
use crate::contract::{Asked, Day, Direction, Exceptions, Level, check as compare};
use crate::exit::{Exit, Problem};
use crate::settings;
use crate::terminal::escape;

pub(super) async fn check(app: &App, args: &Check) -> anyhow::Result<Exit> {
    let path = path_of(args.contract.file.as_deref())?;
    let new = read(&path)?;
    let (baselines, mut is_partial) = if args.fleet {
        contracts(app, &new.contract.hash).await?
    } else {
        (baselines(args, &path)?, false)
    };
    let mut exceptions = exceptions()?;
    let printer = Printer {
        file: &new.name,
        text: &new.text,
        format: if app.is_json() {
            ReportFormat::Json
        } else {
            args.format
        },
    };
    let mut compared = Vec::new();
    for old in &baselines {
        let mut report = match compare(&old.contract, &new.contract, &asked(args, &old.name)) {
            Ok(report) => report,
            // What one member says keeps no other one from being compared.
            Err(problem) if args.fleet => {
                app.warn(&not_compared(old, &new, &problem).to_string());
                is_partial = true;
                continue;
            }
            Err(problem) => return Err(not_compared(old, &new, &problem).into()),
        };
        let allowed = exceptions.take(&mut report.findings);
        let one = Compared {
            against: &old.name,
            report,
            allowed,
        };
        printer.compared(&one, &new.contract)?;
        compared.push(one);
    }
    for remark in exceptions.remarks() {
        app.warn(&escape(remark));
    }
    if baselines.is_empty() && !args.fleet {
        app.remark(format_args!(
            "{} is new: there is nothing to compare it with",
            new.name
        ));
    }
    printer.summary(&compared, is_partial)?;
    let mut findings = compared.iter().flat_map(|it| &it.report.findings);
    let is_broken = findings.any(|finding| finding.level == Level::Break);
    Ok(if is_broken || is_partial {
        Exit::Incomplete
    } else {
        Exit::Done
    })
}

fn asked(args: &Check, old: &str) -> Asked {
    let mut asked = if args.fleet {
        Asked::in_fleet(old, None)
    } else {
        Asked::default()
    };
    if let Some(direction) = args.direction {
        asked.directions = vec![Direction::from(direction)];
    }
    asked
}

/// Reads the contracts to compare with. There is none if the file is new.
fn baselines(args: &Check, path: &Path) -> Result<Vec<Read>, Problem> {
    if let Some(against) = &args.against {
        return Ok(read_any(path, against)?.into_iter().collect());
    }
    let git = Git::of(path)?;
    if !args.all {
        let revision = git.default_revision()?;
        return Ok(read_revision(git, &revision, None)?.into_iter().collect());
    }
    let mut read = Vec::new();
    for tag in git.tags()? {
        let text = git.show_if_there(&tag, None)?;
        read.extend(text.map(|text| parse(tag.to_string(), text)).transpose()?);
    }
    Ok(read)
}

/// Returns the exceptions of the project.
pub(crate) fn exceptions() -> Result<Exceptions, Problem> {
    let contract = settings::contract()?;
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    Ok(Exceptions::new(contract.allow, Day::of(&now)))
}
