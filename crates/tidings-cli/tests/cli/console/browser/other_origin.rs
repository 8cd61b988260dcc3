//! Pages on another port of this machine.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;

use super::session::Browser;
use crate::console::client::Console;
use crate::fleet::Fleet;

/// A server that answers every request with a page, and keeps what it was asked.
struct OtherServer {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl OtherServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&heads);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // The browser opens some that it sends nothing on.
                let kept = Arc::clone(&kept);
                thread::spawn(move || {
                    let head = answer(connection);
                    kept.lock().unwrap().push(head);
                });
            }
        });
        Self { address, heads }
    }
}

fn answer(mut connection: TcpStream) -> String {
    let page = "<!doctype html><title>other</title><body>other";
    let lines = BufReader::new(&connection).lines().map_while(Result::ok);
    let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    let _ = write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{page}",
        page.len()
    );
    head.join("\n")
}

/// The attempts of a hostile page, with the token that it should not have. Each outcome is a text.
const ATTACK: &str = r"return (async ({ target, token }) => {
    const outcomes = {};
    const attempt = async (name, act) => {
        outcomes[name] = await act().then(String, (error) => error.name ?? 'error');
    };
    const text = (answer) => answer.text();
    const Authorization = `Bearer ${token}`;
    const load = (tag, properties) => new Promise((loaded, failed) => {
        const element = Object.assign(document.createElement(tag), properties);
        element.onload = () => loaded('loaded');
        element.onerror = () => failed(Error());
        document.body.append(element);
    });
    await attempt('page', () => fetch(target + '/').then(text));
    await attempt('opaque page', () => fetch(target + '/', { mode: 'no-cors' }).then(text));
    await attempt('read', () => fetch(target + '/api/about').then(text));
    await attempt('read with token', () => fetch(target + '/api/about', { headers: { Authorization } }).then(text));
    await attempt('stream', () => fetch(target + '/api/stream?events=true', { headers: { Authorization } }).then(text));
    await attempt('post', () => fetch(target + '/api/send', { method: 'POST', headers: { Authorization }, body: '{}' }).then(text));
    await attempt('plain post', () => fetch(target + '/api/send', { method: 'POST', mode: 'no-cors', body: '{}' }).then(text));
    await attempt('event source', () => new Promise((opened, failed) => {
        const source = new EventSource(target + '/api/stream?events=true');
        source.onopen = () => opened('opened');
        source.onerror = () => { source.close(); failed(Error()); };
    }));
    await attempt('script', () => load('script', { src: target + '/api.js', type: 'module' }));
    await attempt('classic script', () => load('script', { src: target + '/api.js' }));
    await attempt('style', () => load('link', { rel: 'stylesheet', href: target + '/console.css' }));
    await attempt('image', () => load('img', { src: target + '/favicon.svg' }));
    await attempt('storage', async () => sessionStorage.getItem('tidings-token') ?? 'TypeError');
    return outcomes;
})(arguments[0])";

pub(super) async fn a_page_on_another_port_reads_sends_and_embeds_nothing(browser: &mut Browser) {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let other = OtherServer::start();
    browser.enter(&console).await;
    browser.goto(&format!("http://{}/", other.address)).await;

    let target = format!("http://{}", console.address);
    let argument = json!({ "target": target, "token": console.token });
    let outcomes = browser.run(ATTACK, argument).await;
    let outcomes = outcomes.as_object().unwrap();
    assert_eq!(outcomes.len(), 13);
    for (attempt, outcome) in outcomes {
        let is_refused = ["TypeError", "Error"].iter().any(|it| outcome == *it);
        assert!(is_refused, "{attempt}: {outcome}");
    }

    assert_frame_is_empty(browser, &target).await;
    assert_window_is_out_of_reach(browser, &target).await;
    browser.goto("about:blank").await;
    browser.forget_log().await;
}

async fn assert_frame_is_empty(browser: &mut Browser, target: &str) {
    let embed = "const frame = document.createElement('iframe');
        frame.src = arguments[0];
        document.body.replaceChildren(frame);
        return new Promise((resume) => { frame.onload = () => resume(true); });";
    browser.run(embed, json!(format!("{target}/"))).await;
    browser.driver().post("/frame", json!({ "id": 0 })).await;
    assert_eq!(
        browser.eval("document.URL").await,
        "chrome-error://chromewebdata/"
    );
    browser.driver().post("/frame/parent", json!({})).await;
}

async fn assert_window_is_out_of_reach(browser: &Browser, target: &str) {
    let open = "const opened = window.open(arguments[0], 'console');
        return new Promise((resume) => setTimeout(() => {
            let text = '';
            try { text = opened.document.body.innerText; } catch (error) { text = error.name; }
            resume([opened === null || opened.closed, text]);
        }, 500));";
    let reached = browser.run(open, json!(format!("{target}/"))).await;
    assert_eq!(reached, json!([true, "TypeError"]), "closed, no document");
}

pub(super) async fn another_server_is_told_neither_the_token_nor_the_address(
    browser: &mut Browser,
) {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let other = OtherServer::start();
    browser.enter(&console).await;
    let leave = format!("location.href = 'http://{}/'", other.address);
    browser.run(&leave, json!(null)).await;
    browser
        .until("it is left", "document.title === 'other'")
        .await;
    let heads = other.heads.lock().unwrap().join("\n\n").to_lowercase();
    // The icon of the other page names that page.
    let page = heads.split("\n\n").next().unwrap();
    assert!(
        page.contains("user-agent:") && !page.contains("referer:"),
        "{heads}"
    );
    let port = format!(":{}", console.address.port());
    assert!(
        !heads.contains(&console.token) && !heads.contains(&port),
        "{heads}"
    );
}
