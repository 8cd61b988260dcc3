//! `tidings schema lint`: prints what is likely to cause trouble.

use std::path::Path;

use serde::Serialize;

use crate::app::App;
use crate::commands::schema::source::{path_of, read};
use crate::contract::{Remark, lint as look};
use crate::exit::Exit;
use crate::output;
use crate::terminal::{Style, count, escape, paint};

/// The last line.
#[derive(Serialize)]
struct Summary<'a> {
    file: &'a str,
    remarks: usize,
}

pub(super) fn lint(app: &App, file: Option<&Path>) -> anyhow::Result<Exit> {
    let read = read(&path_of(file)?)?;
    let remarks = look(&read.contract);
    for remark in &remarks {
        if app.is_json() {
            output::stream(output::versioned(remark)?)?;
        } else {
            output::stream(line(remark))?;
        }
    }
    if app.is_json() {
        output::json(&Summary {
            file: &read.name,
            remarks: remarks.len(),
        })?;
    } else {
        output::result(format_args!(
            "{} in {}",
            count(remarks.len(), "remark"),
            read.name
        ))?;
    }
    Ok(if remarks.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

fn line(remark: &Remark) -> String {
    let label = paint(Style::Warning, "warn");
    let kind = paint(Style::Dim, format_args!("[{}]", remark.lint));
    let (name, path) = (escape(&remark.name), escape(&remark.path));
    format!(
        "{label}  {} {name}{path}: {} {kind}",
        remark.kind, remark.text
    )
}
