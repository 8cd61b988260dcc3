//! `tidings context`: shows and chooses contexts.

use serde_json::json;

use crate::app::App;
use crate::args::ContextAction;
use crate::exit::Exit;
use crate::output;
use crate::settings::config::{Config, Context};
use crate::settings::{Settings, config_path};
use crate::terminal::{Cell, Style, escape, paint, table};

pub(crate) fn context(app: &App, action: &ContextAction) -> anyhow::Result<Exit> {
    match action {
        ContextAction::Show => show(app, &app.settings()?)?,
        ContextAction::List => list(app, &Config::read(config_path().as_deref())?)?,
        ContextAction::Use { name } => use_context(app, name)?,
    }
    Ok(Exit::Done)
}

fn show(app: &App, settings: &Settings) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    if let Some(context) = &settings.context {
        rows.push(("context", context.value.clone(), context.source.to_string()));
    }
    let url = &settings.url;
    rows.push(("url", url.value.to_string(), url.source.to_string()));
    if let Some(file) = &settings.password_file {
        let path = file.value.display().to_string();
        rows.push(("password_file", path, file.source.to_string()));
    }
    let namespace = &settings.namespace;
    rows.push((
        "namespace",
        namespace.value.clone(),
        namespace.source.to_string(),
    ));
    if settings.is_protected {
        rows.push(("protect", "true".to_owned(), url.source.to_string()));
    }
    if app.is_json() {
        let settings = rows.into_iter().map(|(name, value, source)| {
            (name.to_owned(), json!({ "value": value, "source": source }))
        });
        return output::json(&settings.collect::<serde_json::Map<_, _>>());
    }
    let rows = rows.into_iter().map(|(name, value, source)| {
        let plain = |text: &str| (Style::Plain, escape(text));
        vec![plain(name), plain(&value), (Style::Dim, escape(source))]
    });
    output::result(table(
        &["SETTING", "VALUE", "FROM"],
        &rows.collect::<Vec<_>>(),
    ))
}

fn list(app: &App, config: &Config) -> anyhow::Result<()> {
    if app.is_json() {
        for (name, context) in &config.contexts {
            output::stream(output::versioned(&json!({
                "name": name,
                "url": context.url.to_string(),
                "namespace": context.namespace,
                "protect": context.protect,
                "is_default": config.context.as_ref() == Some(name),
            }))?)?;
        }
        return Ok(());
    }
    if config.contexts.is_empty() {
        app.remark(format_args!("no contexts in {}", config.path.display()));
        return Ok(());
    }
    let rows: Vec<_> = config
        .contexts
        .iter()
        .map(|(name, context)| row(name, context, config.context.as_ref() == Some(name)))
        .collect();
    output::result(table(&["CONTEXT", "ADDRESS", "NAMESPACE", ""], &rows))
}

fn row(name: &str, context: &Context, is_default: bool) -> Vec<Cell> {
    let plain = |text: &str| (Style::Plain, escape(text));
    let notes = [(is_default, "default"), (context.protect, "protected")];
    let notes: Vec<_> = notes
        .iter()
        .filter(|(is_so, _)| *is_so)
        .map(|(_, note)| *note)
        .collect();
    vec![
        plain(name),
        plain(&context.url.to_string()),
        plain(context.namespace.as_deref().unwrap_or("-")),
        (Style::Dim, notes.join(", ")),
    ]
}

fn use_context(app: &App, name: &str) -> anyhow::Result<()> {
    Config::read(config_path().as_deref())?.use_context(name)?;
    if app.is_json() {
        return output::json(&json!({ "context": name }));
    }
    let name = paint(Style::Heading, escape(name));
    output::result(format_args!("the default context is now {name}"))
}
