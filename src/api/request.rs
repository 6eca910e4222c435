//! Reads what a client asks: its query parameters and its body, each with everything that is wrong with it at once.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Api;
use super::error::ApiError;
use crate::definition::Problem;
use crate::json::{self, Json};
use crate::nearest::nearest;

/// Fields of a body that are shown in an error as those that exist.
const NAMES_SHOWN_MAX: usize = 20;

/// The query parameters; each is taken once, and what is left was not known.
pub(super) struct Query(BTreeMap<String, String>);

impl FromRequestParts<Api> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

impl Query {
    /// The text of the parameter `name`; `None` when it is absent or empty.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|text| !text.is_empty())
    }

    /// The parameter `name` as a `T`.
    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, ApiError> {
        let parse =
            |text: String| text.parse().map_err(|error| ApiError::bad_request(format!("{name}: {error}")));
        self.text(name).map(parse).transpose()
    }

    /// The parameter `limit`, between 1 and `max`.
    pub(super) fn limit(&mut self, default: usize, max: usize) -> Result<usize, ApiError> {
        match self.parsed::<usize>("limit")? {
            None => Ok(default),
            Some(limit) if (1..=max).contains(&limit) => Ok(limit),
            Some(limit) => {
                Err(ApiError::bad_request(format!("limit is {limit}: write a number from 1 to {max}")))
            }
        }
    }

    /// Refuses what nobody asked for; `known` are the names that exist.
    pub(super) fn finish(self, known: &[&str]) -> Result<(), ApiError> {
        let Some(name) = self.0.keys().next() else { return Ok(()) };
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None if known.is_empty() => "this request takes none".to_owned(),
            None => format!("there are {}", known.join(", ")),
        };
        Err(ApiError::bad_request(format!("there is no query parameter {name:?}: {hint}")))
    }
}

/// The body, not larger or deeper than the settings allow.
pub(super) struct Body(Bytes);

impl FromRequest<Api> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let max = api.settings().api.body_bytes_max;
        let body = to_bytes(request.into_body(), max).await.map_err(|error| too_large_or_cut(&error, max))?;
        let depth_max = api.settings().limits.json_depth_max;
        if json::depth(&body) > depth_max {
            return Err(ApiError::bad_request(format!("the body is nested deeper than {depth_max} levels")));
        }
        Ok(Self(body))
    }
}

fn too_large_or_cut(error: &axum::Error, max: usize) -> ApiError {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.to_string().contains("length limit exceeded") {
            let message = format!("the body is larger than {max} bytes (setting api.body_bytes_max)");
            return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message);
        }
        cause = inner.source();
    }
    ApiError::bad_request("the body did not arrive whole")
}

impl Body {
    /// The body as one JSON value.
    pub(super) fn value(&self) -> Result<Value, ApiError> {
        parse(&self.0)
    }

    /// The body as it was written, which must be an object; `None` when there is none.
    pub(super) fn json(&self) -> Result<Option<Json>, ApiError> {
        if self.0.trim_ascii().is_empty() {
            return Ok(None);
        }
        let json: Json = parse(&self.0)?;
        if !json.as_str().starts_with('{') {
            return Err(ApiError::bad_request("the body is not the JSON object that is expected"));
        }
        Ok(Some(json))
    }

    /// The members of the body, which must be an object; none when it is empty. Their texts stay as they were
    /// written, big numbers included.
    pub(super) fn fields(&self) -> Result<Fields, ApiError> {
        let members = if self.0.trim_ascii().is_empty() { BTreeMap::new() } else { parse(&self.0)? };
        Ok(Fields { members, known: Vec::new(), problems: Vec::new() })
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let hint = if bytes.trim_ascii().is_empty() { "; it is empty" } else { "" };
        ApiError::bad_request(format!("the body is not the JSON object that is expected: {error}{hint}"))
    })
}

/// The members of a body. Each is taken by its name; [`finish`](Self::finish) reports all that is wrong.
pub(super) struct Fields {
    members: BTreeMap<String, Json>,
    known: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl Fields {
    /// The member `name`; `None` when it is absent or null.
    pub(super) fn json(&mut self, name: &'static str) -> Option<Json> {
        self.known.push(name);
        self.members.remove(name).filter(|json| json.as_str() != "null")
    }

    /// The member `name`, which may be null; `None` when it is absent.
    pub(super) fn any(&mut self, name: &'static str) -> Option<Json> {
        self.known.push(name);
        self.members.remove(name)
    }

    /// The member `name` as a `T`.
    pub(super) fn maybe<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        let json = self.json(name)?;
        match serde_json::from_str(json.as_str()) {
            Ok(value) => Some(value),
            Err(error) => {
                // The position is within the member, which helps nobody.
                let error = error.to_string();
                self.problem(name, error.split(" at line ").next().unwrap_or_default(), None);
                None
            }
        }
    }

    /// The member `name`, which must be there.
    pub(super) fn required<T: DeserializeOwned>(&mut self, name: &'static str, hint: &str) -> Option<T> {
        if self.members.get(name).is_none_or(|json| json.as_str() == "null") {
            self.known.push(name);
            self.members.remove(name);
            self.problem(name, "is missing", Some(hint));
            return None;
        }
        self.maybe(name)
    }

    /// The member `name`, which must be an object; `{}` when it is absent.
    pub(super) fn object(&mut self, name: &'static str) -> Json {
        match self.json(name) {
            None => Json::empty_object(),
            Some(json) if json.as_str().starts_with('{') => json,
            Some(_) => {
                self.problem(name, "must be an object", Some("write {\"name\": value}"));
                Json::empty_object()
            }
        }
    }

    /// Refuses members that RapidBridge has and this version does not do yet.
    pub(super) fn not_yet(&mut self, names: &[&'static str]) {
        for name in names {
            if self.json(name).is_some() {
                self.problem(name, "is not supported yet", Some("leave it out"));
            }
        }
    }

    /// Notes a problem with the member `name`.
    pub(super) fn problem(&mut self, name: &str, message: &str, hint: Option<&str>) {
        self.problems.push(problem(name, message, hint));
    }

    /// All that is wrong, unknown members included.
    pub(super) fn finish(mut self) -> Result<(), ApiError> {
        for name in self.members.keys() {
            let hint = match nearest(name, self.known.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => {
                    let shown: Vec<&str> = self.known.iter().copied().take(NAMES_SHOWN_MAX).collect();
                    format!("there are {}", shown.join(", "))
                }
            };
            self.problems.push(problem(name, "is no field of this request", Some(&hint)));
        }
        if self.problems.is_empty() { Ok(()) } else { Err(ApiError::invalid(&self.problems)) }
    }
}

/// A problem of a request's member.
pub(super) fn problem(path: &str, message: &str, hint: Option<&str>) -> Problem {
    Problem::of_request(path, message, hint)
}
