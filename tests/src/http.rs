//! An HTTP server for the parts that a story plays itself: one request a connection, a thread for each, until the process ends.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::Value;

/// A request, read whole.
pub struct Request {
    /// `GET` and so on.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// By their names in small letters.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What is answered.
#[derive(Default)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Beside the length of the body.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A status by itself.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// A document.
    pub fn json(status: u16, document: &Value) -> Self {
        Self {
            status,
            body: document.to_string().into_bytes(),
            ..Self::default()
        }
        .with("content-type", "application/json")
    }

    /// With a header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Answers on a free port of `address`; its URL.
pub fn serve_at(address: &str, answer: impl Fn(Request) -> Response + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            // A client that breaks off is no reason to stop.
            std::thread::spawn(move || drop(exchange(&connection, answer.as_ref())));
        }
    });
    url
}

/// The same on loopback.
pub fn serve(answer: impl Fn(Request) -> Response + Send + Sync + 'static) -> String {
    serve_at("127.0.0.1", answer)
}

fn exchange(connection: &TcpStream, answer: &dyn Fn(Request) -> Response) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers = read_headers(&mut reader)?;
    let length = headers
        .get("content-length")
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let Response {
        status,
        headers,
        body,
    } = answer(Request {
        method,
        path,
        headers,
        body,
    });
    let mut head = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut writer = connection;
    writer.write_all(head.as_bytes())?;
    writer.write_all(b"\r\n")?;
    writer.write_all(&body)
}

fn read_headers(reader: &mut BufReader<&TcpStream>) -> std::io::Result<HashMap<String, String>> {
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(": ") else {
            return Ok(headers);
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
}

/// What another server on this machine answers to a `GET`.
///
/// # Errors
/// It does not answer.
pub fn forward(address: &str, request: &Request) -> std::io::Result<Response> {
    let mut connection = TcpStream::connect(address)?;
    // Version 1.0, so that nothing comes in chunks.
    write!(
        connection,
        "GET {} HTTP/1.0\r\nhost: {address}\r\naccept: {}\r\n\r\n",
        request.path,
        request.header("accept")
    )?;
    let mut reader = BufReader::new(&connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
    let headers = read_headers(&mut reader)?;
    let mut body = Vec::new();
    reader.read_to_end(&mut body)?;
    let kind = headers.get("content-type").map_or("", String::as_str);
    let answer = Response {
        status: status.unwrap_or(502),
        body,
        ..Response::default()
    };
    Ok(answer.with("content-type", kind))
}
