//! How the API says no: `{statusCode, error, message, details?}`, with what to do about it in the message.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use tracing::error;

use crate::definition::{Problem, Problems};
use crate::live::LiveError;
use crate::store::StoreError;

/// What a handler returns.
pub(super) type Answer = Result<Response, ApiError>;

/// A refusal, or a failure of our own.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    message: String,
    details: Option<Value>,
    /// In how many seconds it may go better, where that is known.
    retry_after: Option<u64>,
    /// That a source said so, and what.
    remote: Option<Option<String>>,
}

/// The error on the wire.
#[derive(Serialize)]
struct Body<'e> {
    #[serde(rename = "statusCode")]
    status: u16,
    error: &'static str,
    message: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'e Value>,
    #[serde(rename = "truto_is_remote_error", skip_serializing_if = "is_false")]
    is_remote: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_response: Option<&'e str>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), details: None, retry_after: None, remote: None }
    }

    /// 400: the request itself can't be read.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404: `what` (with its id) is not there.
    pub(super) fn missing(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no {what}"))
    }

    /// 409: it can't be done as things are now.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// 422: the request can be read, but what it says can't be.
    pub(super) fn invalid(problems: &[Problem]) -> Self {
        let message = match problems {
            [one] => summary(one),
            many => format!("there are {} problems; details lists all of them", many.len()),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message).with_details(problems)
    }

    /// With the seconds after which it may go better.
    pub(super) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Said by a source, in these words, and not by this API.
    pub(super) fn remote(self, raw_response: Option<String>) -> Self {
        Self { remote: Some(raw_response), ..self }
    }

    pub(super) fn with_details(mut self, details: impl Serialize) -> Self {
        self.details = serde_json::to_value(details).ok();
        self
    }
}

/// A problem in one line.
fn summary(problem: &Problem) -> String {
    let place = [problem.document.as_deref(), Some(problem.path.as_str())];
    let place: Vec<&str> = place.into_iter().flatten().filter(|text| !text.is_empty()).collect();
    let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    match place.as_slice() {
        [] => format!("{}{hint}", problem.message),
        place => format!("{}: {}{hint}", place.join(": "), problem.message),
    }
}

impl From<Problems> for ApiError {
    fn from(problems: Problems) -> Self {
        let problems: Vec<Problem> = problems.iter().cloned().collect();
        Self::invalid(&problems)
    }
}

impl From<LiveError> for ApiError {
    fn from(error: LiveError) -> Self {
        match error {
            LiveError::Store(error) => error.into(),
            LiveError::Missing { kind, id } => Self::missing(&format!("{kind} {id:?}")),
            LiveError::Unreadable(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::Unconfirmed { .. }) {
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
        }
        if error.is_passing() {
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("{error}. Try again in a moment"));
        }
        error!(%error, "the store failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Body {
            status: self.status.as_u16(),
            error: self.status.canonical_reason().unwrap_or("Error"),
            message: &self.message,
            details: self.details.as_ref(),
            is_remote: self.remote.is_some(),
            raw_response: self.remote.as_ref().and_then(Option::as_deref),
        };
        let mut response = reply(self.status, &body);
        match self.status {
            // A source's refusal says nothing about the token that this API wants.
            StatusCode::UNAUTHORIZED if self.remote.is_none() => {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                let seconds = HeaderValue::from(self.retry_after.unwrap_or(1));
                response.headers_mut().insert(RETRY_AFTER, seconds);
            }
            _ => {}
        }
        response
    }
}

/// Any answer with a JSON body.
pub(super) fn reply(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => {
            error!(%error, "an answer could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Gives the refusals of the router and its layers (unknown path, wrong method) the shape of all others.
pub(super) async fn shape(response: Response) -> Response {
    let status = response.status();
    let is_ours = response.headers().get(CONTENT_TYPE).is_some_and(|value| value == "application/json");
    if is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let message = match status {
        StatusCode::NOT_FOUND => "nothing is served at this path; see docs/api.md for those that are",
        StatusCode::METHOD_NOT_ALLOWED => "this path takes other methods; the Allow header names them",
        _ => "the request was refused",
    };
    let mut shaped = ApiError::new(status, message).into_response();
    for (name, value) in response.headers() {
        if name != CONTENT_TYPE && name != axum::http::header::CONTENT_LENGTH {
            shaped.headers_mut().insert(name.clone(), value.clone());
        }
    }
    shaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_out_of_reach_asks_for_patience_and_damage_does_not() {
        let away = ApiError::from(StoreError::Unreachable("refused".into())).into_response();
        assert_eq!(away.status(), 503);
        assert!(away.headers().contains_key(RETRY_AFTER));
        assert_eq!(ApiError::from(StoreError::Damaged("x".into())).into_response().status(), 500);
    }
}
