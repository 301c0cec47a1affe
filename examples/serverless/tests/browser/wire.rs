//! `WebDriver`'s messages: JSON in HTTP requests, one connection for each.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::Value;

/// Where a driver listens.
pub(super) struct Driver(SocketAddr);

impl Driver {
    pub(super) fn at(port: u16) -> Self {
        Self(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// Sends a command, and waits for its value.
    ///
    /// # Errors
    /// What the driver says, or why it says nothing.
    pub(super) fn send(&self, method: &str, path: &str, parameters: &Value) -> Result<Value, String> {
        let answer = self.exchange(method, path, parameters).map_err(|error| error.to_string())?;
        let value = answer["value"].clone();
        match value["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", value["message"].as_str().unwrap_or_default())),
            None => Ok(value),
        }
    }

    fn exchange(&self, method: &str, path: &str, parameters: &Value) -> std::io::Result<Value> {
        let body = if parameters.is_null() { String::new() } else { parameters.to_string() };
        let mut stream = TcpStream::connect(self.0)?;
        let (host, length) = (self.0, body.len());
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all((head + &body).as_bytes())?;
        read_answer(BufReader::new(stream))
    }
}

/// Reads an answer's body, which is as long as its head says: the driver keeps connections open.
fn read_answer(mut stream: impl BufRead) -> std::io::Result<Value> {
    let mut length = 0;
    let mut line = String::new();
    while stream.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    Ok(serde_json::from_reader(stream.take(length))?)
}

/// What base64 stands for. `WebDriver` has pictures in it.
pub(super) fn decode(base64: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for character in base64.bytes() {
        let six = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_le_bytes()[0]);
        }
    }
    bytes
}
