//! `POST /invoke/{name}`: the body in, the answer out.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::Server;
use super::named::Named;
use super::problem::Problem;
use crate::functions::failure::{Failure, Kind};
use crate::functions::streaming::Answer;

pub(crate) async fn invoke(
    State(server): State<Arc<Server>>,
    Named(name): Named,
    body: Body,
) -> Result<Response, Problem> {
    let answered = async {
        let function = server.functions.get(&name).ok_or_else(|| Failure::unknown(&name))?;
        if function.version().manifest.settings.streaming {
            let body = TryStreamExt::map_err(body.into_data_stream(), io::Error::other);
            return Ok(match server.functions.stream(&function, Box::pin(body)).await? {
                Answer::Whole(bytes) => bytes.into_response(),
                Answer::Pieces(pieces) => Body::from_stream(pieces).into_response(),
            });
        }
        let began = Instant::now();
        let most = function.version().manifest.settings.body_bytes();
        let body = read(&server, body, most).await.inspect_err(|failure| {
            function.measures.count(Err(failure.kind), began.elapsed());
        })?;
        server.functions.invoke(&function, body).await.map(IntoResponse::into_response)
    };
    answered.await.map_err(|failure| Problem::of(failure, &name))
}

/// Reads a body, no longer and for no longer than it may be.
pub(super) async fn read(server: &Server, body: Body, most: usize) -> Result<Bytes, Failure> {
    // Who says so is told at once.
    if usize::try_from(body.size_hint().lower()).is_ok_and(|length| length > most) {
        return Err(Failure::body_too_long(most));
    }
    let lost = |detail: String| Failure::new(Kind::BodyLost, detail);
    match timeout(server.body_time, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Failure::body_too_long(most)),
        Ok(Err(error)) => Err(lost(format!("the body did not come to its end: {error}"))),
        Err(_) => Err(lost(format!("the body did not come to its end within {:?}", server.body_time))),
    }
}
