//! A sentinel whose answers a test chooses, with everything that a bus needs to believe it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings_testkit::Collected;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// Its answers.
#[derive(Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) master: SocketAddr,
    pub(crate) epoch: u64,
    /// The delay of an answer.
    pub(crate) takes: Duration,
    /// Publishes that the master has moved, right before each answer.
    pub(crate) is_hinting: bool,
}

#[derive(Clone)]
pub(crate) struct Fake {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Collected<()>,
}

impl Answer {
    pub(crate) fn new(master: SocketAddr, epoch: u64) -> Self {
        Self {
            master,
            epoch,
            takes: Duration::ZERO,
            is_hinting: false,
        }
    }
}

impl Fake {
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(answer)),
            asked: Collected::default(),
        };
        let accepting = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().talk(stream));
            }
        });
        fake
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes its answers.
    pub(crate) fn say(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Waits until it was asked this many times.
    pub(crate) async fn was_asked(&self, times: usize) {
        self.asked.wait_for_len(times).await;
    }

    async fn talk(self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let words = command(&mut stream).await?;
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let answer = *self.answer.lock().unwrap();
            let (ip, port) = (
                answer.master.ip().to_string(),
                answer.master.port().to_string(),
            );
            let text = match words[..] {
                ["HELLO", ..] => map(&[("server", "redis"), ("proto", "3")]),
                ["SUBSCRIBE", channel] => {
                    format!(">3\r\n{}{}:1\r\n", bulk("subscribe"), bulk(channel))
                }
                ["SENTINEL", "MASTER", _] => {
                    sleep(answer.takes).await;
                    self.asked.push(());
                    let hint = [bulk("message"), bulk("+switch-master"), bulk("…")];
                    let hint = format!(">3\r\n{}", hint.concat());
                    let fields = map(&[
                        ("ip", &ip),
                        ("port", &port),
                        ("flags", "master"),
                        ("config-epoch", &answer.epoch.to_string()),
                    ]);
                    if answer.is_hinting {
                        hint + &fields
                    } else {
                        fields
                    }
                }
                ["SENTINEL", "SENTINELS", _] => "*0\r\n".to_owned(),
                ["SENTINEL", ..] => format!("*2\r\n{}{}", bulk(&ip), bulk(&port)),
                _ => "+OK\r\n".to_owned(),
            };
            stream.write_all(text.as_bytes()).await.ok()?;
        }
    }
}

/// Returns the URL of these sentinels.
pub(crate) fn url_of(sentinels: &[&Fake]) -> String {
    let addresses: Vec<_> = sentinels
        .iter()
        .map(|sentinel| sentinel.address.to_string())
        .collect();
    format!("redis+sentinel://{}/mymaster", addresses.join(","))
}

/// Reads an array of texts.
async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..number(stream).await? {
        let mut word = vec![0; number(stream).await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8(word).ok()?.trim_end().to_owned());
    }
    Some(words)
}

async fn number(stream: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim_end().parse().ok()
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn map(fields: &[(&str, &str)]) -> String {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| bulk(name) + &bulk(value))
        .collect();
    format!("%{}\r\n{}", fields.len(), fields.concat())
}
