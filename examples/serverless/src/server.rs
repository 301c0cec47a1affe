//! What is served: `POST /invoke/{name}` and `GET /functions`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::Value;

use crate::failure::Failure;
use crate::function::Function;

/// Functions by their names.
pub(crate) type Functions = Arc<BTreeMap<String, Function>>;

/// The server; a body that is longer is refused with 413 before any function hears of it.
pub(crate) fn router(functions: Functions, body_bytes: usize) -> Router {
    Router::new()
        .route("/functions", get(list))
        .route("/invoke/{name}", post(invoke))
        .layer(DefaultBodyLimit::max(body_bytes))
        .with_state(functions)
}

async fn list(State(functions): State<Functions>) -> impl IntoResponse {
    let all: Value = functions.iter().map(|(name, function)| function.describe(name)).collect();
    ([(CONTENT_TYPE, "application/json")], format!("{all}\n"))
}

async fn invoke(State(functions): State<Functions>, Path(name): Path<String>, body: Bytes) -> Result<Vec<u8>, Failure> {
    let function = functions.get(&name).ok_or_else(|| Failure::unknown(&name))?;
    function.invoke(body).await
}
