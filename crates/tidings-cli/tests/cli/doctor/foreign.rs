//! A server that says what no server of a test would say: another version, another time.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// A proxy that has the server run a script in place of a command.
pub(crate) struct Foreign {
    pub(crate) address: SocketAddr,
}

impl Foreign {
    /// Starts in front of a server. `command` is a command without arguments.
    pub(crate) fn start(server: SocketAddr, command: &'static str, script: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let from = words(&[command]);
        let to = words(&["EVAL", script, "0"]);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { break };
                let server = TcpStream::connect(server).unwrap();
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || forward(back.0, back.1, |bytes| bytes));
                let (from, to) = (from.clone(), to.clone());
                thread::spawn(move || {
                    forward(client, server, |bytes| {
                        let text = String::from_utf8(bytes).unwrap();
                        text.replace(&from, &to).into_bytes()
                    });
                });
            }
        });
        Self { address }
    }
}

/// Returns a command as a client sends it.
fn words(words: &[&str]) -> String {
    let parts = words
        .iter()
        .map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", words.len(), parts.collect::<String>())
}

/// Forwards what is sent. A command is sent at once.
fn forward(mut from: TcpStream, mut to: TcpStream, change: impl Fn(Vec<u8>) -> Vec<u8>) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&change(buffer[..length].to_vec())).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
