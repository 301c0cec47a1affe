//! The host over HTTP.
//!
//! ```text
//! listener   connections: how many, how slow they may be, and how they end
//! identity   each request's id, its line in the log      access    who may ask
//! invoke     POST /invoke/{name}                         manage    /functions, /reports
//! metrics    GET /metrics                                page      what people look at
//! named      what a path names                           problem   what is answered when something is wrong
//! ```

mod access;
mod identity;
mod invoke;
pub(crate) mod listener;
mod manage;
mod metrics;
mod named;
mod page;
mod problem;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

pub(crate) use self::access::{Access, NotListening};
use self::problem::Problem;
use crate::functions::Functions;
use crate::functions::settings::Settings;

/// What every request is answered from.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) functions: Arc<Functions>,
    /// What a function has whose deployment says nothing.
    pub(crate) defaults: Settings,
    pub(crate) access: Access,
    /// How long a client may take to send a body.
    pub(crate) body_time: Duration,
    /// No more requests are wanted: the server ends.
    draining: AtomicBool,
}

impl Server {
    pub(crate) fn new(functions: Arc<Functions>, defaults: Settings, access: Access, body_time: Duration) -> Self {
        Self { functions, defaults, access, body_time, draining: AtomicBool::new(false) }
    }

    /// From now on clients are told to go elsewhere: what they send is served all the same.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// All routes.
pub(crate) fn router(server: Arc<Server>) -> Router {
    let guarded = Router::new()
        .route("/functions", get(manage::list))
        .route("/functions/{name}", get(manage::show).put(manage::deploy).delete(manage::delete))
        .route("/reports/{id}", get(manage::report))
        .route("/metrics", get(metrics::metrics))
        .route("/invoke/{name}", post(invoke::invoke))
        .layer(from_fn_with_state(Arc::clone(&server), access::guard));
    Router::new()
        .route("/", get(page::index))
        .route("/page/{file}", get(page::file))
        .route("/healthz", get(health))
        .merge(guarded)
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "no_route", "there is nothing here: see /") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "this is not asked with this method")
        })
        .layer(from_fn_with_state(Arc::clone(&server), farewell))
        .layer(from_fn(identity::identify))
        .with_state(server)
}

/// The routes of a host that somebody else asks: what it does, and how it is.
#[cfg(feature = "nats")]
pub(crate) fn observed(server: Arc<Server>) -> Router {
    let guarded = Router::new()
        .route("/functions", get(manage::list))
        .route("/reports/{id}", get(manage::report))
        .route("/metrics", get(metrics::metrics))
        .layer(from_fn_with_state(Arc::clone(&server), access::guard));
    Router::new()
        .route("/healthz", get(health))
        .merge(guarded)
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "no_route", "there is nothing here") })
        .layer(from_fn_with_state(Arc::clone(&server), farewell))
        .layer(from_fn(identity::identify))
        .with_state(server)
}

/// Is this server to be sent requests?
async fn health(State(server): State<Arc<Server>>) -> Response {
    if server.is_draining() {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "draining", "the server is about to end").into_response();
    }
    axum::Json(serde_json::json!({ "status": "ok" })).into_response()
}

/// While the server drains, each connection ends with its answer: a client that would send another request there would lose it.
async fn farewell(
    State(server): State<Arc<Server>>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let mut response = next.run(request).await;
    if server.is_draining() {
        let close = axum::http::HeaderValue::from_static("close");
        response.headers_mut().insert(axum::http::header::CONNECTION, close);
    }
    response
}
