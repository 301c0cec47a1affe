//! The part of a path that names something.

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::problem::Problem;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        let Path(name) = path.map_err(|_| {
            Problem::new(StatusCode::NOT_FOUND, "no_route", "there is nothing here: what is no UTF-8 names nothing")
        })?;
        Ok(Self(name))
    }
}
