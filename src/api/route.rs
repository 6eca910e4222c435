//! Which path leads where, and what every request passes on its way: its log line, a net for panics, the time limit,
//! the token.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{debug, error, info, warn};

use super::error::{Answer, ApiError, reply, shape};
use super::{
    Api, apply, connect, definitions, deletion, dry_run, live, new_run, runs, state, token, triggers, unified,
};
use crate::clock;
use crate::definition::Kind;

/// Where definitions of a kind are served.
pub(super) fn path(kind: Kind) -> &'static str {
    match kind {
        Kind::UnifiedModel => "/unified-model",
        Kind::Integration => "/integration",
        Kind::Account => "/integrated-account",
        Kind::Webhook => "/webhook",
        Kind::SyncJob => "/sync-job",
        Kind::Trigger => "/sync-job-cron-trigger",
    }
}

/// The whole API.
pub fn router(api: Api) -> Router {
    let mut behind_token = Router::new()
        .route("/apply", post(apply::apply))
        .route("/integrated-account/{id}/connect", post(connect::connect))
        .route("/sync-job-cron-trigger/{id}/run", post(triggers::run_now))
        .route("/sync-job-cron-trigger/{id}/schedule", post(triggers::schedule))
        .route("/sync-job-run", get(runs::list).post(new_run::create))
        .route("/sync-job-run/{id}", get(runs::read).delete(runs::stop))
        .route("/sync-job-run/{id}/log", get(runs::log))
        .route("/sync-job-run/{id}/stop", post(runs::stop))
        .route("/sync-job-run/{id}/resume", post(runs::resume))
        .route("/sync-job-run/{id}/replay", post(new_run::replay))
        .route("/sync-job/{id}/dry-run", post(dry_run::dry_run))
        .route("/unified/meta/{model}", get(unified::model))
        .route("/unified/meta/{model}/{integration}", get(unified::integration))
        .route("/unified/{model}/{resource}", any(live::unified_list))
        .route("/unified/{model}/{resource}/{id}", any(live::unified_one))
        .route("/proxy/{resource}", any(live::proxy_list))
        .route("/proxy/{resource}/{id}", any(live::proxy_one))
        .route("/sync-job-run-state", get(state::list).post(state::write))
        .route("/sync-job-run-state/{key}", get(state::read).patch(state::update).delete(state::delete));
    for kind in Kind::ALL {
        behind_token = behind_token.merge(of_kind(*kind));
    }
    let timeout = api.settings().api.request_timeout;
    behind_token
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(from_fn_with_state(api.clone(), token::check))
        .merge(open_to_all())
        .layer(from_fn(move |request, next| limit_time(timeout, request, next)))
        .layer(CatchPanicLayer::custom(caught))
        .layer(map_response(shape))
        .layer(from_fn(log))
        .with_state(api)
}

/// The same five handlers for every kind of definition.
fn of_kind(kind: Kind) -> Router<Api> {
    let path = path(kind);
    let one = get(definitions::read).patch(definitions::update).delete(deletion::delete);
    Router::new()
        .route(path, get(definitions::list).post(definitions::create))
        .route(&format!("{path}/{{id}}"), one)
        .layer(Extension(kind))
}

/// Open to everybody: orchestrators ask without a token, and learn nothing.
fn open_to_all() -> Router<Api> {
    Router::new()
        .route("/healthz", get(|| async { reply(StatusCode::OK, &json!({ "status": "ok" })) }))
        .route("/readyz", get(ready))
        .route("/health", get(health))
}

/// Whether requests that write would be answered with success.
async fn ready(State(api): State<Api>) -> Answer {
    api.store().takes_writes().await?;
    Ok(reply(StatusCode::OK, &json!({ "status": "ok" })))
}

/// Whether this process does what it can: to start it again would not help a Redis that takes no writes, so that is only
/// told.
async fn health(State(api): State<Api>) -> Answer {
    api.store().now().await?;
    let body = match api.store().takes_writes().await {
        Ok(()) => json!({ "status": "ok", "redis": "ok" }),
        Err(error) => json!({ "status": "degraded", "redis": error.to_string() }),
    };
    Ok(reply(StatusCode::OK, &body))
}

async fn limit_time(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!(
                "the request took longer than {limit:?} (setting api.request_timeout); what it asked for may have happened"
            );
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).into_response()
        }
    }
}

fn caught(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
    error!(panic = text, "a request broke a handler");
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the request broke the server's handler; its log says where",
    )
    .into_response()
}

/// One line a request, without its query and bodies. What only looks is for debugging.
async fn log(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let start = clock::monotonic();
    let response = next.run(request).await;
    let (status, ms) = (response.status().as_u16(), start.elapsed().as_millis());
    if response.status().is_server_error() {
        warn!(%method, path, status, ms, "request");
    } else if method == Method::GET || method == Method::HEAD {
        debug!(%method, path, status, ms, "request");
    } else {
        info!(%method, path, status, ms, "request");
    }
    response
}
