//! Receivers, webhooks and guards for the courier's tests.

use std::net::Ipv4Addr;
use std::pin::Pin;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::engine::seam::SendGuard;
use crate::id::RunId;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

type Script = Arc<dyn Fn(usize) -> Response + Send + Sync>;
type Log = Arc<Mutex<Vec<Received>>>;

/// A receiver that keeps what it gets and answers by a script, which is told how many came before.
pub(super) struct Receiver {
    pub(super) url: String,
    log: Log,
}

impl Receiver {
    pub(super) async fn answering(script: impl Fn(usize) -> Response + Send + Sync + 'static) -> Self {
        let log = Log::default();
        let script: Script = Arc::new(script);
        let app = Router::new().fallback(receive).with_state((log.clone(), script));
        let (listener, url) = listen().await;
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, log }
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.log.lock().unwrap().clone()
    }
}

async fn receive(State((log, script)): State<(Log, Script)>, headers: HeaderMap, body: Bytes) -> Response {
    let before = {
        let mut log = log.lock().unwrap();
        log.push(Received { headers, body });
        log.len() - 1
    };
    script(before)
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    (listener, url)
}

/// Takes connections and says nothing.
pub(super) async fn silent() -> String {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let mut held = vec![];
        while let Ok(connection) = listener.accept().await {
            held.push(connection);
        }
    });
    url
}

/// Reads a request and closes without a word.
pub(super) async fn breaking() -> String {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.read(&mut [0; 16 * 1024]).await;
        }
    });
    url
}

/// Nobody listens here any more.
pub(super) async fn closed() -> String {
    listen().await.1
}

/// Counts connections.
pub(super) async fn counting(count: Arc<AtomicU32>) -> String {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    url
}

/// A book with one page, written anew at each reading.
pub(super) struct Book(Box<dyn Fn() -> Result<Option<Webhook>, BookError> + Send + Sync>);

impl Book {
    pub(super) fn new(read: impl Fn() -> Result<Option<Webhook>, BookError> + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl WebhookBook for Book {
    async fn webhook(&self, _: &WebhookId) -> Result<Option<Arc<Webhook>>, BookError> {
        (self.0)().map(|found| found.map(Arc::new))
    }
}

pub(super) fn courier(webhook: Webhook) -> HttpCourier<Book> {
    courier_with(Book::new(move || Ok(Some(webhook.clone()))), &["127.0.0.0/8"])
}

pub(super) fn courier_with(book: Book, allow: &[&str]) -> HttpCourier<Book> {
    let egress = Egress::new(allow.iter().map(|net| net.parse().unwrap()).collect());
    HttpCourier::new(Http { client: egress.client().unwrap(), egress }, book)
}

pub(super) fn webhook(url: &str, secrets: &[&str]) -> Webhook {
    Webhook {
        id: "crm".parse().unwrap(),
        target_url: url.parse().unwrap(),
        secrets: secrets.iter().map(|secret| (*secret).into()).collect(),
        event_types: None,
        is_active: true,
        ack: Ack::Status200,
        truto_signature: false,
        headers: vec![],
        timeout: Duration::from_secs(20),
        retry: DeliveryRetry {
            attempts: 3,
            base: Duration::from_millis(1),
            max: Duration::from_millis(2),
            ..DeliveryRetry::default()
        },
    }
}

/// An event whose body no JSON library would write like this.
pub(super) fn delivery(event: EventType) -> Delivery {
    Delivery {
        webhook: "crm".parse().unwrap(),
        event,
        id: "evt_1".to_owned(),
        body: Bytes::from_static(
            "{ \"n\":12345678901234567890123, \"a\":1.10,\"a\":\"\\u00e4ä\" ,\"z\":1e400}".as_bytes(),
        ),
        run: Some(RunId::new(3)),
        seq: Some(7),
        attempts_before: 0,
    }
}

/// A guard of epoch 42.
pub(super) struct Guard {
    permits: AtomicU32,
    interrupts: bool,
}

pub(super) fn guard() -> Guard {
    Guard { permits: AtomicU32::new(u32::MAX), interrupts: false }
}

impl Guard {
    /// Permits this many sends and no more.
    pub(super) fn permitting(self, sends: u32) -> Self {
        Self { permits: AtomicU32::new(sends), ..self }
    }

    /// Ends every wait at once.
    pub(super) fn interrupting(self) -> Self {
        Self { interrupts: true, ..self }
    }
}

impl SendGuard for Guard {
    fn permit(&self) -> Option<u64> {
        let left = self.permits.load(Ordering::SeqCst).checked_sub(1)?;
        self.permits.store(left, Ordering::SeqCst);
        Some(42)
    }

    fn interrupted(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if self.interrupts { Box::pin(std::future::ready(())) } else { Box::pin(std::future::pending()) }
    }
}

/// Acknowledges everything, the body of each answer a moment after its head; counts connections.
pub(super) async fn in_two_parts(count: Arc<AtomicU32>) -> String {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(answer_in_two_parts(connection));
        }
    });
    url
}

async fn answer_in_two_parts(mut connection: TcpStream) -> std::io::Result<()> {
    // Without it the second part waits for the peer's delayed acknowledgement of the first: 40 ms.
    connection.set_nodelay(true)?;
    let mut request = vec![];
    let body = delivery(EventType::Record).body;
    loop {
        request.clear();
        while !request.ends_with(&body) {
            if connection.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await?;
        tokio::time::sleep(Duration::from_millis(1)).await;
        connection.write_all(b"ok").await?;
    }
}

/// Log lines, kept.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
