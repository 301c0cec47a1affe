//! Who may ask: whoever has the token. Without one, only those on this machine, and no web page of another origin that a browser here has open.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::Server;
use super::problem::Problem;

/// Shortest token: what is shorter can be tried out.
const MIN_TOKEN: usize = 16;

/// See the module's documentation.
pub(crate) struct Access {
    token: Option<Box<[u8]>>,
}

/// Why the server does not listen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotListening {
    #[error(
        "{address} can be reached from other machines, and there is no token: give one with --token-file or SERVERLESS_TOKEN"
    )]
    NoToken { address: SocketAddr },
    #[error("the token has {length} bytes: use at least {MIN_TOKEN}, such as what `openssl rand -hex 24` prints")]
    ShortToken { length: usize },
}

impl Access {
    /// # Errors
    /// If others could reach it without a token, or by trying tokens out.
    pub(crate) fn new(address: SocketAddr, token: Option<&str>) -> Result<Self, NotListening> {
        match token.map(str::trim) {
            Some(token) if token.len() < MIN_TOKEN => Err(NotListening::ShortToken { length: token.len() }),
            Some(token) => Ok(Self { token: Some(token.as_bytes().into()) }),
            None if !address.ip().is_loopback() => Err(NotListening::NoToken { address }),
            None => Ok(Self { token: None }),
        }
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = &self.token else { return here_only(headers) };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        if given.is_some_and(|given| bool::from(given.ct_eq(token))) {
            return Ok(());
        }
        let detail = "send `Authorization: Bearer` with the server's token";
        Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail))
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("token", &self.token.as_ref().map(|_| "…")).finish()
    }
}

/// A page of another origin can send requests here from a browser on this machine, and a name of its own can lead here (DNS rebinding): both
/// are told by what browsers say of themselves.
fn here_only(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.to_str().unwrap_or("?"));
    let host = text(HOST).unwrap_or("");
    let is_here = matches!(without_port(host), "localhost" | "127.0.0.1" | "[::1]");
    let is_same = text(ORIGIN).is_none_or(|origin| origin.strip_prefix("http://") == Some(host));
    if is_here && is_same {
        return Ok(());
    }
    let detail = "without a token this server answers only requests to localhost, and none from other sites' pages";
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Lets those through who may ask.
pub(crate) async fn guard(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    match server.access.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn here() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 8080))
    }

    fn headers(pairs: &[(axum::http::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn nothing_listens_beyond_this_machine_without_a_token_or_with_one_that_can_be_tried_out() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 8080));
        assert_eq!(Access::new(everywhere, None).unwrap_err(), NotListening::NoToken { address: everywhere });
        assert_eq!(Access::new(here(), Some("short\n")).unwrap_err(), NotListening::ShortToken { length: 5 });
        assert!(Access::new(everywhere, Some(TOKEN)).is_ok());
    }

    #[test]
    fn with_a_token_only_it_is_let_through() {
        let access = Access::new(here(), Some("0123456789abcdef\n")).unwrap();
        let check = |value: &'static str| access.check(&headers(&[(AUTHORIZATION, value)])).is_ok();
        assert!(check("Bearer 0123456789abcdef"));
        for wrong in ["", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdefg", "Basic 0123456789abcdef"] {
            assert!(!check(wrong), "{wrong}");
        }
        assert!(access.check(&HeaderMap::new()).is_err());
    }

    #[test]
    fn without_a_token_no_page_of_another_origin_gets_through() {
        let access = Access::new(here(), None).unwrap();
        let check = |pairs: &[(axum::http::HeaderName, &'static str)]| access.check(&headers(pairs)).is_ok();
        for host in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "[::1]"] {
            assert!(check(&[(HOST, host)]), "{host}");
        }
        assert!(check(&[(HOST, "localhost:8080"), (ORIGIN, "http://localhost:8080")]));
        assert!(!check(&[]));
        assert!(!check(&[(HOST, "rebound.example:8080")]));
        for origin in ["http://elsewhere.example", "null", "http://localhost:9090"] {
            assert!(!check(&[(HOST, "localhost:8080"), (ORIGIN, origin)]), "{origin}");
        }
    }
}
