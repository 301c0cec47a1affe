//! What is answered when something is wrong: RFC 9457's problem details.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::identity;
use crate::functions::NotDeployed;
use crate::functions::failure::{Failure, Kind};
use crate::functions::reports::ReportId;
use crate::functions::store::StoreError;

/// When somebody who was refused may ask again, in seconds: a queue that is full now is another one then.
const RETRY_SECONDS: &str = "1";

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    function: Option<String>,
    report: Option<ReportId>,
    may_retry: bool,
}

/// A problem as it is told.
#[derive(Debug, Serialize)]
struct Told {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    kind: &'static str,
    detail: String,
    request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<ReportId>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), function: None, report: None, may_retry: false }
    }

    /// Nothing of the request was wrong, nor of a function.
    pub(crate) fn host(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Kind::Host.as_str(), detail)
    }

    /// An invocation failed.
    pub(crate) fn of(failure: Failure, function: &str) -> Self {
        let Failure { kind, detail, report } = failure;
        // A name that no function has stays in the detail, where it was cleaned.
        let function = (kind != Kind::Unknown).then(|| function.to_owned());
        let may_retry = kind.is_refusal();
        Self { status: status(kind), kind: kind.as_str(), detail, function, report, may_retry }
    }
}

/// The status of a kind of failure.
fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Unknown => StatusCode::NOT_FOUND,
        Kind::BodyTooLong => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::QueueFull => StatusCode::TOO_MANY_REQUESTS,
        Kind::WaitedTooLong | Kind::HostFull => StatusCode::SERVICE_UNAVAILABLE,
        Kind::WallTime | Kind::CpuTime => StatusCode::GATEWAY_TIMEOUT,
        Kind::Memory => StatusCode::INSUFFICIENT_STORAGE,
        Kind::ReplyTooLong | Kind::Crash | Kind::Exit | Kind::Failed => StatusCode::BAD_GATEWAY,
        // Who hung up does not read it.
        Kind::BodyLost | Kind::HungUp => StatusCode::BAD_REQUEST,
        Kind::Host => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<NotDeployed> for Problem {
    fn from(error: NotDeployed) -> Self {
        let (status, kind) = match &error {
            NotDeployed::NoFunction(_) => (StatusCode::UNPROCESSABLE_ENTITY, "no_function"),
            NotDeployed::TooMany { .. } => (StatusCode::INSUFFICIENT_STORAGE, "too_many_functions"),
            NotDeployed::Store(error) => return Self::from_store(error),
            NotDeployed::NoRoom(_) | NotDeployed::NoDescriptors => {
                (StatusCode::INSUFFICIENT_STORAGE, Kind::HostFull.as_str())
            }
            NotDeployed::Panicked | NotDeployed::Host(_) => (StatusCode::INTERNAL_SERVER_ERROR, Kind::Host.as_str()),
        };
        Self::new(status, kind, crate::functions::failure::clean(&error.to_string()))
    }
}

impl Problem {
    /// The store failed: its paths are the log's business.
    fn from_store(error: &StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        let is_full = matches!(error, StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull
            || source.kind() == std::io::ErrorKind::QuotaExceeded);
        if is_full {
            Self::new(StatusCode::INSUFFICIENT_STORAGE, "store_full", "the server's store is full")
        } else {
            Self::host("the server's store failed: its log says how")
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, kind, detail, function, report, may_retry } = self;
        let title = status.canonical_reason().unwrap_or("Problem");
        let request = identity::current();
        let told =
            Told { r#type: "about:blank", title, status: status.as_u16(), kind, detail, request, function, report };
        let mut response = (status, Json(told)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if may_retry {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        }
        if status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}
