//! `tidings schema export`: the schemas for other programs, as AsyncAPI or JSON Schema.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::app::App;
use crate::args::{AsyncApiVersion, Export};
use crate::commands::schema::source::{path_of, read};
use crate::contract::{JsonSchemas, asyncapi};
use crate::exit::{Exit, Problem};
use crate::output;
use crate::terminal::{count, escape, escaped_json};

pub(super) fn export(app: &App, args: &Export) -> anyhow::Result<Exit> {
    let read = read(&path_of(args.contract.file.as_deref())?)?;
    if let Some(version) = args.asyncapi {
        let namespace = app.settings()?.namespace.value;
        let mut document = asyncapi(&read.contract, &namespace);
        if version == AsyncApiVersion::V3_1 {
            document["asyncapi"] = "3.1.0".into();
        }
        match &args.output {
            Some(path) => write(path, &document)?,
            None => print(app, &document)?,
        }
        return Ok(Exit::Done);
    }
    let documents = JsonSchemas::new(&read.contract).all().collect();
    let Some(directory) = &args.output else {
        print(app, &serde_json::to_value(documents)?)?;
        return Ok(Exit::Done);
    };
    write_all(directory, &documents)?;
    let shown = escape(directory.display());
    app.remark(format_args!(
        "wrote {} to {shown}",
        count(documents.len(), "schema")
    ));
    Ok(Exit::Done)
}

fn print(app: &App, document: &Value) -> anyhow::Result<()> {
    // The document is JSON of its own form; `--json` prints it in one line.
    output::result(escaped_json(document, !app.is_json())?)
}

fn write_all(directory: &Path, documents: &BTreeMap<String, Value>) -> anyhow::Result<()> {
    for (name, document) in documents {
        let path = directory.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| not_written(parent, &error))?;
        }
        write(&path, document)?;
    }
    Ok(())
}

fn write(path: &Path, document: &Value) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(document)? + "\n";
    fs::write(path, text).map_err(|error| not_written(path, &error))?;
    Ok(())
}

fn not_written(path: &Path, error: &std::io::Error) -> Problem {
    Problem::failed(format!("cannot write {}: {error}", escape(path.display())))
}
