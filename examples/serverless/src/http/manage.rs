//! Deploying functions, and looking at them: `/functions` and `/reports`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::Server;
use super::invoke::read;
use super::named::Named;
use super::problem::Problem;
use crate::functions::failure::{Failure, Kind};
use crate::functions::name::Name;

pub(crate) async fn list(State(server): State<Arc<Server>>) -> Json<Vec<Value>> {
    Json(server.functions.all().iter().map(|(_, function)| function.describe()).collect())
}

pub(crate) async fn show(State(server): State<Arc<Server>>, Named(name): Named) -> Result<Json<Value>, Problem> {
    let function = server.functions.get(&name).ok_or_else(|| unknown(&name))?;
    Ok(Json(function.describe()))
}

/// The body is the function's file; each setting that is not the server's default is a parameter.
pub(crate) async fn deploy(
    State(server): State<Arc<Server>>,
    Named(name): Named,
    Query(changes): Query<Vec<(String, String)>>,
    body: Body,
) -> Result<Response, Problem> {
    let refused = |kind, detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, kind, detail);
    let name: Name = name.parse().map_err(|error| refused("name", format!("{error}")))?;
    let settings = server.defaults.with(&changes).map_err(|error| refused("setting", error.to_string()))?;
    let most = server.functions.most().image_bytes;
    let image = read(&server, body, most).await.map_err(|failure| match failure.kind {
        Kind::BodyTooLong => {
            let detail = format!("a function's file has at most {most} bytes here");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, failure.kind.as_str(), detail)
        }
        _ => Problem::new(StatusCode::BAD_REQUEST, failure.kind.as_str(), failure.detail),
    })?;
    let deployed = server.functions.deploy(name, image, settings).await?;
    let status = if deployed.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(deployed.description)).into_response())
}

pub(crate) async fn delete(State(server): State<Arc<Server>>, Named(name): Named) -> Result<StatusCode, Problem> {
    if server.functions.delete(name.clone()).await? { Ok(StatusCode::NO_CONTENT) } else { Err(unknown(&name)) }
}

pub(crate) async fn report(State(server): State<Arc<Server>>, Named(id): Named) -> Result<Response, Problem> {
    let report = server.functions.reports().get(&id);
    let detail = "no report has that id, or it was too long ago";
    let report = report.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no_report", detail))?;
    Ok(Json(report).into_response())
}

fn unknown(name: &str) -> Problem {
    Problem::of(Failure::unknown(name), name)
}
