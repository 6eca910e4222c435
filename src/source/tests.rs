//! The whole room against real HTTP on loopback: what servers do wrong, and what must never leave.

mod answers;
mod lists;
mod secrets;
mod transport;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::definition::integration::{
    Authorization, CursorPagination, CursorSource, Limit, Method, Pagination, SendIn,
};
use crate::definition::{Account, Integration};
use crate::egress::Egress;
use crate::engine::budget::Budget;
use crate::engine::seam::{Cursor, FetchError, FetchErrorKind, FetchRequest, Page, SendGuard, Source};
use crate::json::Json;
use crate::source::testing::{account, integration, literal, method, object, request};
use crate::source::{Http, HttpSource};
use crate::template::Template;

/// One request as the server saw it.
#[derive(Debug, Clone)]
struct Seen {
    uri: String,
    headers: HeaderMap,
    body: String,
}

/// A server that answers the n-th request (from 0) with `answer(n, request)`.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    async fn start(answer: impl Fn(usize, &Seen) -> Response + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (log, answer) = (seen.clone(), Arc::new(answer));
        let handler = move |uri: Uri, headers: HeaderMap, body: String| async move {
            let one = Seen { uri: uri.to_string(), headers, body };
            let count = {
                let mut log = log.lock().unwrap();
                log.push(one.clone());
                log.len() - 1
            };
            answer(count, &one)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(handler);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, seen }
    }

    fn base(&self) -> String {
        format!("http://{}/api", self.address)
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn uris(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.uri.clone()).collect()
    }

    fn source(&self, method: Method) -> HttpSource {
        source(with(integration(&self.base()), method), account("{}", &[]))
    }
}

fn with(mut integration: Integration, method: Method) -> Integration {
    let method = Method {
        base_url: integration.base_url.clone(),
        authorization: integration.authorization.clone(),
        ..method
    };
    integration.resources.entry("tickets".to_owned()).or_default().insert("list".to_owned(), method);
    integration
}

fn source(integration: Integration, account: Account) -> HttpSource {
    let http = Http::new(Egress::new(vec!["127.0.0.0/8".parse().unwrap()]), 1 << 26).unwrap();
    HttpSource::new(Arc::new(integration), Arc::new(account), http)
}

fn json(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.into()).into_response()
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

/// A run that stays ours for so many more sends.
struct Permits(AtomicUsize);

impl SendGuard for Permits {
    fn permit(&self) -> Option<u64> {
        let left = self.0.load(Ordering::SeqCst).checked_sub(1)?;
        self.0.store(left, Ordering::SeqCst);
        Some(1)
    }

    fn interrupted(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

async fn fetch(source: &HttpSource, cursor: Cursor) -> Result<Page, FetchError> {
    fetch_while(source, cursor, usize::MAX).await
}

/// Fetches with so many permits to send.
async fn fetch_while(source: &HttpSource, cursor: Cursor, permits: usize) -> Result<Page, FetchError> {
    let room = Budget::new(64 << 20, 16 << 20).begin(0).await;
    let request = FetchRequest { cursor, ..request("tickets", "list") };
    source.fetch(&request, &room, &Permits(AtomicUsize::new(permits))).await
}

/// All records of a list, page by page.
async fn read_all(source: &HttpSource) -> Vec<Vec<String>> {
    let (mut pages, mut cursor) = (Vec::new(), Cursor::Start);
    loop {
        let page = fetch(source, cursor).await.unwrap();
        pages.push((0..page.records.len()).map(|index| page.record(index).to_owned()).collect());
        assert!(pages.len() < 20, "the list does not end");
        match page.next {
            Some(next) => cursor = next,
            None => return pages,
        }
    }
}

fn list(pagination: Pagination) -> Method {
    Method { response_path: vec!["data".to_owned()], pagination, ..method() }
}

fn cursor_rule() -> CursorPagination {
    CursorPagination {
        source: CursorSource::Body(vec!["meta".to_owned(), "next".to_owned()]),
        is_link: false,
        param: "page[after]".to_owned(),
        send_in: SendIn::Query,
        limit: Some(Limit { param: "page[size]".to_owned(), value: 2 }),
    }
}
