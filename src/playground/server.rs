//! A small HTTP/1 server on a free loopback port. Its handler may also hang up without an answer, which a
//! router can't; dropping it closes the port and every connection.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use futures::future::BoxFuture;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::answer::{Act, Answer};

/// How long accepting rests after it failed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(20);

/// Closes the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("hung up")]
pub(super) struct HangUp;

/// What serves requests.
pub(super) type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Result<Response, HangUp>> + Send + Sync>;

impl Answer {
    /// The answer as the server's loop wants it.
    pub(super) fn finish(self) -> Result<Response, HangUp> {
        match self.act {
            Act::Respond(response) => Ok(response),
            Act::HangUp => Err(HangUp),
        }
    }
}

#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    task: AbortHandle,
}

impl Server {
    /// Binds a loopback port (0: a free one) and serves in the background.
    pub(super) async fn start(port: u16, handler: Handler) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, handler)).abort_handle();
        Ok(Self { address, task })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, handler: Handler) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Broken before it was accepted, or no file descriptors left: no reason to stop, nor to spin.
                    sleep(PAUSE_AFTER_ERROR).await;
                    continue;
                };
                // Without it a small answer may wait for the peer's delayed acknowledgement.
                let _ = stream.set_nodelay(true);
                let handler = handler.clone();
                let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    handler(request.map(axum::body::Body::new))
                });
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
