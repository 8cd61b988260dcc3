//! `tidings console`: serves a page that shows the fleet, to browsers of this machine.

mod api;
mod assets;
mod changes;
mod collector;
mod filter;
mod guard;
mod hub;
mod incidents;
mod limits;
mod lock;
mod look;
mod row;
mod sender;
mod server;
mod servers;
mod stored;
mod stream;
mod token;
mod viewer;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpListener;

use self::api::Api;
use self::changes::Allowed;
use self::guard::Guard;
use self::hub::Hub;
use self::look::Looker;
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
use crate::terminal::escape;
use crate::time::milliseconds_of;

pub(crate) async fn console(app: &App, args: &Console) -> anyhow::Result<Exit> {
    check_address(args.listen)?;
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
    let (address, token) = (listener.local_addr()?, Token::random()?);
    print(app, address, &token)?;
    app.remark(escape(format_args!(
        "showing {} at {}, {}, until Ctrl-C",
        settings.namespace.value,
        settings.url.value,
        allowed.words()
    )));

    let api = Arc::new(Api {
        about: json!({
            "version": env!("CARGO_PKG_VERSION"),
            "namespace": settings.namespace.value,
            "address": settings.url.value.to_string(),
            "is_read_only": !allowed.send && !allowed.write,
            "allows_send": allowed.send,
            "allows_write": allowed.write,
            "hides_payloads": args.hide_payloads,
            "started": milliseconds_of(std::time::SystemTime::now()),
        }),
        store: Store::new(bus.clone(), admin.clone(), args.hide_payloads),
        servers: Servers::new(admin),
        sender: Sender {
            app: app.clone(),
            settings: settings.clone(),
            bus: bus.clone(),
        },
        looker: Looker::new(bus.clone(), app.global.patience()),
        hub: Hub::new(args.hide_payloads),
        hides_payloads: args.hide_payloads,
    });
    let guard = Guard::new(address, &args.host, token, allowed);
    let router = guard::protect(api::router(Arc::clone(&api)), guard);
    tokio::select! {
        () = interrupted => {}
        () = server::serve(listener, router) => {}
        () = collector::collect(app, &settings, &bus, &api) => {}
    }
    Ok(Exit::Done)
}

/// Rejects an address that other machines reach.
fn check_address(address: SocketAddr) -> Result<(), Problem> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    let text = format!(
        "cannot listen at {address}: other machines reach it, and the console has no TLS, so its token \
         could be read on the way"
    );
    let port = address.port();
    Err(Problem::usage(text).help(format!(
        "listen at 127.0.0.1:{port}, and reach it with `ssh -L {port}:127.0.0.1:{port} HOST`"
    )))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Problem> {
    TcpListener::bind(address).await.map_err(|error| {
        let problem = Problem::failed(format!("cannot listen at {address}: {error}"));
        problem.help("take another port with `--listen 127.0.0.1:0`")
    })
}

fn print(app: &App, address: SocketAddr, token: &Token) -> anyhow::Result<()> {
    let url = format!("http://{address}/#{}", token.secret());
    if app.is_json() {
        return output::json(&json!({ "url": url }));
    }
    output::result(url)
}
