//! Each request has an id, which is in its answer and in its line of the log: the client's own, if it sends a sane one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;

use crate::functions::failure::clean;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken from a client.
const MAX_ID: usize = 64;
/// Failures that are told in the log in a second. Whoever fails in every request would fill a disk otherwise.
const FAILURES_PER_SECOND: u32 = 50;

tokio::task_local! {
    static ID: HeaderValue;
}

/// The id of the request that this task answers.
pub(crate) fn current() -> Option<String> {
    ID.try_with(|id| id.to_str().ok().map(str::to_owned)).ok().flatten()
}

/// Gives a request its id, and tells how it ended.
pub(crate) async fn identify(request: Request, next: Next) -> Response {
    let id = request.headers().get(&X_REQUEST_ID).filter(|id| is_sane(id)).cloned().unwrap_or_else(new);
    let began = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let mut response = ID.scope(id.clone(), next.run(request)).await;
    let status = response.status().as_u16();
    let id_text = id.to_str().unwrap_or_default();
    let microseconds = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    if status < 400 {
        tracing::debug!(id = id_text, %method, path = uri.path(), status, microseconds, "served");
    } else if let Some(untold) = FAILURES.tell(began) {
        let path = clean(uri.path());
        tracing::info!(id = id_text, %method, path, status, microseconds, untold, "failed");
    }
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

fn is_sane(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=MAX_ID).contains(&bytes.len()) && bytes.iter().all(plain)
}

/// An id that no other request of this server has, nor one of another server.
fn new() -> HeaderValue {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static SERVER: OnceLock<u64> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let mut bytes = [0; 8];
        // Without it, ids are those of this server only.
        let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
        u64::from_le_bytes(bytes)
    });
    let text = format!("{server:016x}-{:x}", NEXT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

static FAILURES: Failures = Failures(Mutex::new(Second { began: None, told: 0, untold: 0 }));

/// How many failures were told in this second.
struct Failures(Mutex<Second>);

struct Second {
    began: Option<Instant>,
    told: u32,
    untold: u64,
}

impl Failures {
    /// May one more be told? Then this is how many were not, since the last that was.
    fn tell(&self, now: Instant) -> Option<u64> {
        let mut second = self.0.lock();
        if second.began.is_none_or(|began| now.saturating_duration_since(began) >= Duration::from_secs(1)) {
            (second.began, second.told) = (Some(now), 0);
        }
        if second.told >= FAILURES_PER_SECOND {
            second.untold += 1;
            return None;
        }
        second.told += 1;
        Some(std::mem::take(&mut second.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_a_clients_is_taken_only_if_it_can_harm_no_log() {
        for (id, sane) in [("abc-1_2.3", true), ("", false), ("a b", false), ("a\"b", false), (&*"a".repeat(65), false)]
        {
            assert_eq!(is_sane(&HeaderValue::from_str(id).unwrap()), sane, "{id:?}");
        }
        assert_ne!(new(), new());
        assert!(is_sane(&new()));
    }

    #[test]
    fn whoever_fails_in_every_request_fills_no_log() {
        let failures = Failures(Mutex::new(Second { began: None, told: 0, untold: 0 }));
        let now = Instant::now();
        let told = (0..1000).filter(|_| failures.tell(now).is_some()).count();
        assert_eq!(told, FAILURES_PER_SECOND as usize);
        assert_eq!(failures.tell(now + Duration::from_secs(1)), Some(950));
        assert_eq!(failures.tell(now + Duration::from_secs(1)), Some(0));
    }
}
