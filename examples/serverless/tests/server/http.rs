//! As little HTTP as it takes: one connection, requests one after the other, answers as they came.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// No test waits that long: a server that answers nothing fails it instead.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request's head, and its body.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    method: &'a str,
    path: &'a str,
    headers: Vec<(&'a str, String)>,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: &'a str, path: &'a str) -> Self {
        Self { method, path, headers: Vec::new(), body: b"" }
    }

    /// Adds a header; what a client always sends is left out if it is here.
    pub(crate) fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: &'a [u8]) -> Self {
        self.body = body;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        let always = [("Host", "localhost".to_owned()), ("Content-Length", self.body.len().to_string())];
        let has = |name: &str| self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        for (name, value) in always.iter().filter(|(name, _)| !has(name)).chain(&self.headers) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        [head.as_bytes(), b"\r\n", self.body].concat()
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The problem that it tells, which is whole and agrees with the head.
    pub(crate) fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["request"].as_str(), self.header("x-request-id"));
        for field in ["title", "kind", "detail"] {
            let text = problem[field].as_str().unwrap();
            assert!(!text.is_empty() && !text.contains(char::is_control), "{field}: {text:?}");
        }
        problem
    }

    /// Status and kind of a problem.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status, self.problem()["kind"].as_str().unwrap().to_owned())
    }

    /// True if the connection serves no more requests.
    pub(crate) fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

/// A connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl From<TcpStream> for Client {
    fn from(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends bytes that need be no HTTP.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Tells the server that nothing more comes.
    pub(crate) fn end(&self) -> io::Result<()> {
        self.stream.get_ref().shutdown(Shutdown::Write)
    }

    pub(crate) fn send(&mut self, request: &Request) -> io::Result<()> {
        self.write(&request.bytes())
    }

    /// Sends a request and reads its answer. A server need not read a body that it refuses: that it cannot be sent whole is no error.
    pub(crate) fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        let sent = self.send(request);
        self.read().map_err(|error| sent.err().unwrap_or(error))
    }

    /// Waits until the server wants the body of a request that expects to be told.
    pub(crate) fn wait_for_go(&mut self) -> io::Result<()> {
        assert_eq!(self.line()?, "HTTP/1.1 100 Continue");
        assert_eq!(self.line()?, "");
        Ok(())
    }

    /// Reads one answer; an end before its first byte is [`ErrorKind::UnexpectedEof`].
    pub(crate) fn read(&mut self) -> io::Result<Answer> {
        let broken = |what: String| io::Error::new(ErrorKind::InvalidData, what);
        let first = self.line()?;
        let status = first.strip_prefix("HTTP/1.1 ").or_else(|| first.strip_prefix("HTTP/1.0 "));
        let status = status.and_then(|rest| rest.split(' ').next()?.parse().ok());
        let status: u16 = status.ok_or_else(|| broken(format!("no status line: {first:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken(format!("no header: {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if status != 204 {
            answer.body = self.body(&answer)?;
        }
        Ok(answer)
    }

    fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if let Some(length) = answer.header("content-length") {
            body.resize(length.parse().unwrap(), 0);
            self.stream.read_exact(&mut body)?;
        } else if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16).unwrap();
                let begin = body.len();
                body.resize(begin + size, 0);
                self.stream.read_exact(&mut body[begin..])?;
                assert_eq!(self.line()?, "");
                if size == 0 {
                    break;
                }
            }
        } else {
            self.stream.read_to_end(&mut body)?;
        }
        Ok(body)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8(line).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// True if the server ends the connection, or has, before `time` is over.
    pub(crate) fn is_over(&mut self, time: Duration) -> bool {
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(time)).unwrap();
        let over = match self.stream.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        self.stream.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        over
    }

    /// The same connection, for another thread: one writes, and the other reads.
    pub(crate) fn try_clone(&self) -> Self {
        Self { stream: BufReader::new(self.stream.get_ref().try_clone().unwrap()) }
    }

    /// Reads to the end of the connection; a reset is one, too.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => {
                panic!("the server keeps the connection: {error}")
            }
            _ => rest,
        }
    }
}
