//! The worker's health check: `GET /health` answers 200 while Redis answers and the worker takes runs. A Redis that takes
//! no writes is only told of: a restart would not help, and runs that have begun may go on.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::Worker;

pub(super) async fn serve(
    address: SocketAddr,
    worker: Arc<Worker>,
) -> std::io::Result<AbortOnDropHandle<()>> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let router = Router::new().route("/health", get(health)).with_state(worker);
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    })))
}

async fn health(State(worker): State<Arc<Worker>>) -> (StatusCode, Json<Value>) {
    let redis = worker.store.now().await;
    let writes = match &redis {
        Ok(_) => worker.store.takes_writes().await,
        Err(error) => Err(error.clone()),
    };
    let leaving = worker.leaving.is_cancelled();
    let status = if redis.is_ok() && !leaving { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "worker": worker.name,
        "runs": worker.leases.len(),
        "free_slots": worker.slots.available_permits(),
        "leaving": leaving,
        "redis": writes.map_or_else(|error| error.to_string(), |()| "ok".to_owned()),
    });
    (status, Json(body))
}
