//! Deploying functions, and looking at them: `/functions` and `/reports`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::Server;
use super::problem::Problem;
use crate::functions::failure::Failure;
use crate::functions::name::Name;

pub(crate) async fn list(State(server): State<Arc<Server>>) -> Json<Vec<Value>> {
    Json(server.functions.all().iter().map(|(_, function)| function.describe()).collect())
}

pub(crate) async fn show(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let function = server.functions.get(&name).ok_or_else(|| unknown(&name))?;
    Ok(Json(function.describe()))
}

/// The body is the function's file; each setting that is not the server's default is a parameter.
pub(crate) async fn deploy(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Query(changes): Query<Vec<(String, String)>>,
    image: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let refused = |kind, detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, kind, detail);
    let name: Name = name.parse().map_err(|error| refused("name", format!("{error}")))?;
    let settings = server.defaults.with(&changes).map_err(|error| refused("setting", error.to_string()))?;
    let image = image.map_err(|rejection| {
        let most = server.functions.most().image_bytes;
        match rejection.status() {
            status @ StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::new(status, "body_too_long", format!("a function's file has at most {most} bytes here"))
            }
            status => Problem::new(status, "body_lost", "the function's file did not come to its end"),
        }
    })?;
    let deployed = server.functions.deploy(name, image, settings).await?;
    let status = if deployed.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(deployed.description)).into_response())
}

pub(crate) async fn delete(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    match server.functions.delete(&name).await {
        Ok(true) => Ok(StatusCode::NO_CONTENT),
        Ok(false) => Err(unknown(&name)),
        Err(error) => Err(Problem::from_store(&error)),
    }
}

pub(crate) async fn report(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let report = server.functions.reports().get(&id);
    let detail = "no report has that id, or it was too long ago";
    let report = report.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no_report", detail))?;
    Ok(Json(report).into_response())
}

fn unknown(name: &str) -> Problem {
    Problem::of(Failure::unknown(name), name)
}
