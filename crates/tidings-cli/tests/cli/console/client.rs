//! An HTTP client that sends what it is told to, and a console to send it to.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fleet::Fleet;
use crate::support::{Running, TIMEOUT};

/// The time in which something must be in a stream.
const WAIT: Duration = Duration::from_secs(15);

/// A running `tidings console`.
pub(super) struct Console {
    pub(super) running: Running,
    pub(super) address: SocketAddr,
    pub(super) token: String,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

/// An open stream of events.
pub(super) struct Stream {
    reader: BufReader<TcpStream>,
    text: String,
    /// Rows that were received and not read.
    rows: VecDeque<Value>,
}

impl Console {
    pub(super) fn start(fleet: &Fleet, options: &[&str]) -> Self {
        Self::start_printing(fleet, options, "/#")
    }

    /// Starts a console whose address has this before the token.
    pub(super) fn start_printing(fleet: &Fleet, options: &[&str], before_token: &str) -> Self {
        let mut command = fleet.command();
        command.args(["console", "--listen", "127.0.0.1:0"]);
        let running = Running::start(command.args(options));
        let url = running.stdout.wait_for("http://127.0.0.1:");
        let (address, token) = url["http://".len()..].split_once(before_token).unwrap();
        Self {
            address: address.parse().unwrap(),
            token: token.to_owned(),
            running,
        }
    }

    pub(super) fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(self.address).unwrap();
        connection.set_read_timeout(Some(TIMEOUT)).unwrap();
        connection
    }

    /// Sends these bytes, and reads until the console closes the connection or has answered.
    pub(super) fn raw(&self, bytes: &[u8]) -> Option<Answer> {
        let mut connection = self.connect();
        // The console may answer and close before it has read everything.
        let _ = connection.write_all(bytes);
        Answer::read(&mut BufReader::new(connection))
    }

    pub(super) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.raw(self.head("GET", path, headers).as_bytes())
            .unwrap()
    }

    /// Returns a request with the right host.
    pub(super) fn head(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            head += &[name, ": ", value, "\r\n"].concat();
        }
        head + "\r\n"
    }

    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    pub(super) fn with_token(&self, path: &str) -> Answer {
        self.get(path, &[("Authorization", &self.bearer())])
    }

    /// Asks for a change.
    pub(super) fn post(&self, path: &str, body: &str) -> Answer {
        let bearer = self.bearer();
        let headers = [
            ("Authorization", &*bearer),
            ("Content-Type", "application/json"),
        ];
        let answer = self.request("POST", path, &headers, body.as_bytes());
        answer.unwrap()
    }

    /// Sends a request with a body, and with its length unless the headers have one.
    pub(super) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        let length = body.len().to_string();
        let mut headers = headers.to_vec();
        if !headers.iter().any(|(name, _)| *name == "Content-Length") {
            headers.push(("Content-Length", &length));
        }
        let head = self.head(method, path, &headers);
        self.raw(&[head.as_bytes(), body].concat())
    }

    pub(super) fn api(&self, path: &str) -> Value {
        let answer = self.with_token(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// Opens a stream, and reads its first message.
    pub(super) fn stream(&self, query: &str) -> Stream {
        let mut stream = self
            .try_stream(query)
            .unwrap_or_else(|answer| panic!("{answer:?}"));
        assert_eq!(stream.next().0, "about");
        stream
    }

    pub(super) fn try_stream(&self, query: &str) -> Result<Stream, Answer> {
        let mut connection = self.connect();
        let path = format!("/api/stream?{query}");
        let head = self.head("GET", &path, &[("Authorization", &self.bearer())]);
        connection.write_all(head.as_bytes()).unwrap();
        let mut reader = BufReader::new(connection);
        let (status, headers) = read_head(&mut reader).unwrap();
        if status != 200 {
            return Err(Answer::read_body(&mut reader, status, headers));
        }
        Ok(Stream {
            reader,
            text: String::new(),
            rows: VecDeque::new(),
        })
    }
}

impl Answer {
    pub(super) fn read(reader: &mut impl BufRead) -> Option<Self> {
        let (status, headers) = read_head(reader)?;
        Some(Self::read_body(reader, status, headers))
    }

    fn read_body(reader: &mut impl BufRead, status: u16, headers: Vec<(String, String)>) -> Self {
        let mut answer = Self {
            status,
            headers,
            body: String::new(),
        };
        let length = answer
            .header("content-length")
            .map(|it| it.parse().unwrap());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|header| header.0 == name)?;
        Some(value)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Reads the status and the headers, unless the connection was closed.
fn read_head(reader: &mut impl BufRead) -> Option<(u16, Vec<(String, String)>)> {
    let first = read_line(reader)?;
    let status = first.split(' ').nth(1)?.parse().ok()?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        let Some((name, value)) = line.split_once(": ") else {
            return Some((status, headers));
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let read = reader.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

impl Stream {
    /// Reads the next message.
    pub(super) fn next(&mut self) -> (String, Value) {
        loop {
            let text = self.text();
            if text != ":" {
                let (kind, data) = text.split_once('\n').unwrap();
                let kind = kind.strip_prefix("event: ").unwrap().to_owned();
                let data = data.strip_prefix("data: ").unwrap();
                return (kind, serde_json::from_str(data).unwrap());
            }
        }
    }

    /// Reads the next message as it is, or a comment.
    pub(super) fn text(&mut self) -> String {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let message = message.to_owned();
                self.text = rest.to_owned();
                return message;
            }
            let size = read_line(&mut self.reader).expect("the stream goes on");
            let mut chunk = vec![0; usize::from_str_radix(&size, 16).unwrap() + 2];
            self.reader.read_exact(&mut chunk).unwrap();
            chunk.truncate(chunk.len() - 2);
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Reads until a message of this kind, which `is_it`.
    pub(super) fn find(&mut self, kind: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + WAIT;
        loop {
            let (found, value) = self.next();
            if found == kind && is_it(&value) {
                return value;
            }
            assert!(Instant::now() < deadline, "no such {kind}: {value}");
        }
    }

    /// Reads rows until there is one that `is_it`.
    pub(super) fn row(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            while let Some(row) = self.rows.pop_front() {
                if is_it(&row) {
                    return row;
                }
            }
            let rows = self.find("rows", |_| true);
            self.rows
                .extend(rows["rows"].as_array().unwrap().iter().cloned());
        }
    }
}
