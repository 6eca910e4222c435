//! Live requests: `/proxy/{resource}` asks an account's source now and answers with what it says; `/unified/{model}/
//! {resource}` does the same in the shape of a unified model. The same integration, credentials, budget and rate-limit gate
//! as those of runs, without a run: nothing is kept.
//!
//! RapidBridge's paths, envelope and parameters. One cursor, sealed, so that it can be given back and nothing else.

pub(super) mod answer;
mod query;

use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use tracing::debug;

use super::Api;
use super::error::{Answer, ApiError};
use super::request::Body;
use crate::definition::Integration;
use crate::engine::budget::Room;
use crate::engine::seam::{Cursor, FetchErrorKind, FetchRequest, Page, SendGuard, Source};
use crate::id::AccountId;
use crate::json::Json;
use crate::live::BUDGET_USED_UP;
use crate::store::budget::Counted;
use answer::Shape;
use query::Asked;

/// How much memory live requests of one process may take for pages, in pages of `limits.page_bytes_max`.
pub(super) const PAGES_IN_MEMORY: usize = 8;

/// Tries at once of a request that only reads.
const ATTEMPTS: u32 = 2;

/// Which resource is meant.
enum Target {
    /// The integration's own.
    Proxy(String),
    /// A unified model's.
    Unified(String),
}

impl Target {
    fn resource(&self) -> &str {
        match self {
            Self::Proxy(resource) | Self::Unified(resource) => resource,
        }
    }

    fn is_unified(&self) -> bool {
        matches!(self, Self::Unified(_))
    }
}

pub(super) async fn proxy_list(
    State(api): State<Api>,
    Path(resource): Path<String>,
    request: Request,
) -> Answer {
    serve(&api, &Target::Proxy(resource), None, request).await
}

pub(super) async fn proxy_one(
    State(api): State<Api>,
    Path((resource, id)): Path<(String, String)>,
    request: Request,
) -> Answer {
    serve(&api, &Target::Proxy(resource), Some(id), request).await
}

pub(super) async fn unified_list(
    State(api): State<Api>,
    Path((model, resource)): Path<(String, String)>,
    request: Request,
) -> Answer {
    serve(&api, &Target::Unified(format!("{model}/{resource}")), None, request).await
}

pub(super) async fn unified_one(
    State(api): State<Api>,
    Path((model, resource, id)): Path<(String, String, String)>,
    request: Request,
) -> Answer {
    serve(&api, &Target::Unified(format!("{model}/{resource}")), Some(id), request).await
}

/// What is read of a live request.
pub(super) struct Request {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
}

impl axum::extract::FromRequest<Api> for Request {
    type Rejection = ApiError;

    async fn from_request(request: axum::extract::Request, api: &Api) -> Result<Self, ApiError> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let headers = request.headers().clone();
        Ok(Self { method, uri, headers, body: Body::from_request(request, api).await? })
    }
}

/// What a path's last part and an HTTP method ask for.
fn method(http: &Method, last: Option<String>) -> Result<(String, Option<String>, Shape), ApiError> {
    let (name, shape) = match (http.as_str(), &last) {
        ("GET", None) => ("list", Shape::List),
        ("GET", Some(_)) => ("get", Shape::One),
        ("POST", None) => ("create", Shape::One),
        ("PATCH", _) => ("update", Shape::One),
        ("DELETE", _) => ("delete", Shape::Deleted),
        ("POST", Some(custom)) => return Ok((custom.clone(), None, Shape::Result)),
        (other, _) => {
            let message = format!("{other} asks for nothing here: GET, POST, PATCH and DELETE do");
            return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message));
        }
    };
    Ok((name.to_owned(), last, shape))
}

async fn serve(api: &Api, target: &Target, last: Option<String>, request: Request) -> Answer {
    let (method, id, shape) = method(&request.method, last)?;
    if request.headers.contains_key("idempotency-key") {
        let message =
            "live requests take no Idempotency-Key: what the source did before is not kept; leave it out";
        return Err(ApiError::bad_request(message));
    }
    let asked = Asked::read(request.uri.query().unwrap_or_default())?;
    let account = asked.account.clone();
    let live = api.0.connections.live();
    let integration = live.integration_of(&*live.account(&account).await?).await?;
    check(&integration, target, &method)?;
    let cursor = match &asked.cursor {
        None => Cursor::Start,
        Some(text) => opened(api, &purpose(api, target, &method, &asked), text)?,
    };
    let store = api.store();
    let (generation, opens) = store.gate(Counted::Account(&account)).await?;
    let now = store.now().await?;
    if now < opens {
        return Err(answer::limited(&account, opens.since(now)));
    }
    let reads = shape == Shape::List || method == "get";
    let fetch = FetchRequest {
        id,
        query: asked.query_for(target.is_unified()),
        body: request.body.json()?,
        cursor,
        attempts: Some(if reads { ATTEMPTS } else { 1 }),
        timeout: None,
        page_size: asked.limit.filter(|_| matches!(target, Target::Proxy(_))),
        format: asked.format,
        seed: rand::random(),
        ..FetchRequest::first(target.resource(), &method, now)
    };
    let (page, room) = ask(api, integration, &account, &fetch, generation).await?;
    let next = page.next.as_ref().map(|next| sealed(api, &purpose(api, target, &method, &asked), next));
    answer::page(page, room, next.transpose()?.as_deref(), shape, &fetch, &asked)
}

/// Asks the source within the memory that live requests may take.
async fn ask(
    api: &Api,
    integration: Arc<Integration>,
    account: &AccountId,
    fetch: &FetchRequest,
    generation: u64,
) -> Result<(Page, Room), ApiError> {
    let no_room = || {
        let message =
            "too many live requests at once: the memory for their pages is taken; try again in a moment";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
    };
    let room: Room = api.0.pages.try_begin(0).ok_or_else(no_room)?;
    let source = api.0.connections.source(Some(integration), account.clone());
    let result = source.fetch(fetch, &room, &Always).await;
    let error = match result {
        Ok(page) => return Ok((page, room)),
        Err(error) => error,
    };
    // What was not sent says nothing new about the source.
    if let FetchErrorKind::RateLimited { wait } = error.kind
        && error.error != BUDGET_USED_UP
        && let Err(error) = api.store().close_gate(Counted::Account(account), generation, wait).await
    {
        debug!(%error, "the account's gate could not be closed");
    }
    if error.kind == FetchErrorKind::NoRoom {
        return Err(no_room());
    }
    Err(answer::failure(error))
}

/// Whether there is such a method, in this way of asking.
fn check(integration: &Integration, target: &Target, method: &str) -> Result<(), ApiError> {
    let own = |name: &str| -> Option<Vec<&str>> {
        Some(integration.resources.get(name)?.keys().map(String::as_str).collect())
    };
    let mapped = |name: &str| -> Option<Vec<&str>> {
        Some(integration.unified.get(name)?.keys().map(String::as_str).collect())
    };
    let (methods, known): (_, Vec<&str>) = match target {
        Target::Proxy(name) => (own(name), integration.resources.keys().map(String::as_str).collect()),
        // A resource of the integration's own may be called like one of a model.
        Target::Unified(name) => {
            (own(name).or_else(|| mapped(name)), integration.unified.keys().map(String::as_str).collect())
        }
    };
    let (name, resource) = (integration.name.as_str(), target.resource());
    let Some(methods) = methods else {
        let there = if known.is_empty() {
            "there is none".to_owned()
        } else {
            format!("it has {}", known.join(", "))
        };
        return Err(ApiError::missing(&format!("resource {resource:?} in integration {name:?}: {there}")));
    };
    if !methods.contains(&method) {
        let message = format!(
            "method {method:?} of {resource:?} in integration {name:?}: it has {}",
            methods.join(", ")
        );
        return Err(ApiError::missing(&message));
    }
    Ok(())
}

/// What a cursor is sealed for: it leads on in this list of this account, asked in this way, and is worth nothing elsewhere.
fn purpose(api: &Api, target: &Target, method: &str, asked: &Asked) -> String {
    let (environment, account, resource) = (api.store().environment(), &asked.account, target.resource());
    format!("{environment}/{account}/cursor/{resource}/{method}/{:?}/{}", asked.limit, asked.query)
}

fn sealed(api: &Api, purpose: &str, cursor: &Cursor) -> Result<String, ApiError> {
    let text = Json::of(cursor);
    let sealed = api.0.sealer.seal(purpose, text.as_str().as_bytes());
    sealed.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn opened(api: &Api, purpose: &str, text: &str) -> Result<Cursor, ApiError> {
    let plain = api.0.sealer.open(purpose, text).ok();
    let cursor = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
    cursor.ok_or_else(|| {
        let message = "next_cursor was not given by this list of this account with these parameters; repeat them as they were, \
                       or leave it out to begin";
        ApiError::bad_request(message)
    })
}

/// A live request belongs to nobody else.
struct Always;

impl SendGuard for Always {
    fn permit(&self) -> Option<u64> {
        Some(0)
    }

    fn interrupted(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

/// The time that a gate is closed for.
fn seconds(until: std::time::Duration) -> u64 {
    until.as_secs() + u64::from(until.subsec_nanos() > 0)
}
