//! `tidings console`: serves a page that shows the fleet, to browsers of this machine.

mod api;
mod assets;
mod changes;
mod collector;
mod contracts;
mod filter;
mod guard;
mod hub;
mod incidents;
mod limits;
mod lock;
mod look;
mod mask;
mod private;
mod reader;
mod row;
mod sender;
mod server;
mod servers;
mod stored;
mod stream;
mod tls;
mod token;
mod viewer;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;

use self::api::Api;
use self::changes::{Allowed, Changes};
use self::contracts::Contracts;
use self::guard::Guard;
use self::hub::Hub;
use self::look::Looker;
use self::mask::{Masks, Secrecy};
use self::sender::Sender;
use self::servers::Servers;
use self::stored::Store;
use self::token::Token;
use crate::app::App;
use crate::args::Console;
use crate::confirm;
use crate::connect::{builder, connect};
use crate::exit::{Exit, Problem};
use crate::interrupt::interrupted;
use crate::output;
use crate::settings::Settings;
use crate::terminal::escape;
use crate::time::milliseconds_of;

pub(crate) async fn console(app: &App, args: &Console) -> anyhow::Result<Exit> {
    check_address(args)?;
    let acceptor = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key)?),
        _ => None,
    };
    let token = match &args.token_file {
        Some(file) => Token::of_file(file)?,
        None => Token::random()?,
    };
    let settings = app.settings()?;
    let allowed = Allowed {
        send: args.allow_send,
        write: args.allow_write,
    };
    if allowed.send || allowed.write {
        confirm::write(app, &settings)?;
    }
    let interrupted = interrupted();
    let bus = connect(app, &settings).await?;
    let admin = builder(app, &settings).admin()?;
    let listener = bind(args.listen).await?;
    let address = listener.local_addr()?;
    print(app, args, address, &token)?;
    app.remark(escape(format_args!(
        "showing {} at {}, {}, until Ctrl-C",
        settings.namespace.value,
        settings.url.value,
        allowed.words()
    )));

    let secrecy = Secrecy {
        hides_payloads: args.hide_payloads,
        masks: Masks(args.mask.clone()),
    };
    let api = Arc::new(Api {
        about: about(args, &settings, allowed),
        store: Store::new(bus.clone(), admin.clone(), secrecy.clone()),
        servers: Servers::new(admin),
        sender: Sender {
            app: app.clone(),
            settings: settings.clone(),
            bus: bus.clone(),
        },
        looker: Looker::new(bus.clone(), app.global.patience()),
        hub: Hub::new(secrecy),
        contracts: Contracts::new(bus.clone(), &settings.namespace.value, app.global.timeout),
        hides_payloads: args.hide_payloads,
        changes: Changes::default(),
    });
    let hosts = guard::hosts(address, acceptor.is_some(), &args.host);
    let guard = Guard::new(hosts, token, allowed);
    let router = guard::protect(api::router(Arc::clone(&api)), guard);
    tokio::select! {
        () = interrupted => {}
        () = server::serve(listener, address, acceptor, router) => {}
        () = collector::collect(app, &settings, &bus, &api) => {}
    }
    wait_for_changes(app, &api.changes).await;
    Ok(Exit::Done)
}

/// Returns the settings that pages see.
fn about(args: &Console, settings: &Settings, allowed: Allowed) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "namespace": settings.namespace.value,
        "address": settings.url.value.to_string(),
        "is_read_only": !allowed.send && !allowed.write,
        "allows_send": allowed.send,
        "allows_write": allowed.write,
        "hides_payloads": args.hide_payloads,
        "started": milliseconds_of(std::time::SystemTime::now()),
    })
}

/// Waits for the changes in progress, so that their results are printed and reach their pages: for no
/// longer than they may take, and until the next signal.
async fn wait_for_changes(app: &App, changes: &Changes) {
    if !changes.is_any() {
        return;
    }
    let (ended, interrupted) = (changes.ended(), interrupted());
    let limit = app.global.timeout;
    app.remark(format_args!(
        "waiting for changes in progress, at most {limit:?}, or until Ctrl-C"
    ));
    tokio::select! {
        () = ended => {}
        () = interrupted => {}
        () = sleep(limit) => {}
    }
}

/// Rejects an address that other machines reach without TLS, or at an unknown name.
fn check_address(args: &Console) -> Result<(), Problem> {
    let (address, port) = (args.listen, args.listen.port());
    if address.ip().is_loopback() {
        return Ok(());
    }
    if args.tls_cert.is_none() {
        let text = format!(
            "cannot listen at {address}: other machines reach it, and without TLS the token could be \
             read on the way"
        );
        return Err(Problem::usage(text).help(format!(
            "add --tls-cert and --tls-key, or listen at 127.0.0.1:{port}, and reach it with \
             `ssh -L {port}:127.0.0.1:{port} HOST`"
        )));
    }
    if address.ip().is_unspecified() && args.host.is_empty() {
        let text =
            format!("cannot listen at {address}: no name is known that browsers reach it by");
        return Err(Problem::usage(text).help(format!("add --host NAME:{port}")));
    }
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Problem> {
    TcpListener::bind(address).await.map_err(|error| {
        let problem = Problem::failed(format!("cannot listen at {address}: {error}"));
        problem.help("take another port with `--listen 127.0.0.1:0`")
    })
}

/// Prints the address, with the token unless its owner has it in a file.
fn print(app: &App, args: &Console, address: SocketAddr, token: &Token) -> anyhow::Result<()> {
    let scheme = if args.tls_cert.is_some() {
        "https"
    } else {
        "http"
    };
    let host = match args.host.first() {
        Some(host) if address.ip().is_unspecified() => escape(host),
        _ => address.to_string(),
    };
    let secret = match args.token_file {
        Some(_) => String::new(),
        None => format!("#{}", token.secret()),
    };
    let url = format!("{scheme}://{host}/{secret}");
    if app.is_json() {
        return output::json(&json!({ "url": url }));
    }
    output::result(url)
}
