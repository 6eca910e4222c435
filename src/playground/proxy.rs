//! A TCP proxy that misbehaves on request: between the product and Redis, a source or a receiver it plays the network.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

/// Bytes that one connection holds in one direction.
const BUFFER_BYTES: usize = 16 * 1024;
/// How long accepting rests after it failed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(20);

/// What the proxy does with what passes through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Passes everything on.
    Fair,
    /// Every piece waits this long, in both directions.
    Delay(Duration),
    /// The next reply is cut off after so many bytes, and its connection is reset.
    CutReply(usize),
    /// Requests arrive and replies don't. Such a connection is reset when the weather turns.
    SwallowReplies,
    /// Connections are reset, new ones too.
    Refuse,
    /// Connections that are open go silent for good and nobody closes them, as when a firewall forgot them; new ones
    /// are fine.
    Strand,
}

/// A running proxy. Dropping it closes it and every connection through it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    task: AbortHandle,
}

impl Proxy {
    /// Starts it on a free loopback port, in front of `upstream`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let weather = watch::Sender::new(Weather::Fair);
        let task = tokio::spawn(accept(listener, upstream, weather.subscribe())).abort_handle();
        Ok(Self { address, weather, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather, for connections that exist as well.
    pub fn turn(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, weather: watch::Receiver<Weather>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => drop(connections.spawn(serve(client, upstream, weather.clone()))),
                // Broken before it was accepted, or no file descriptors left: no reason to stop, nor to spin.
                Err(_) => sleep(PAUSE_AFTER_ERROR).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, until either side or the weather ends it.
async fn serve(client: TcpStream, upstream: SocketAddr, weather: watch::Receiver<Weather>) {
    // A dropped stream is then reset rather than closed in good order.
    let _ = client.set_zero_linger();
    if *weather.borrow() == Weather::Refuse {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut storm, mut stranding) = (weather.clone(), weather.clone());
    let mut was_swallowed = false;
    stranding.mark_unchanged();
    tokio::select! {
        () = requests(&mut from_client, &mut to_server, weather.clone()) => return,
        () = replies(&mut from_server, &mut to_client, weather, &mut was_swallowed) => return,
        _ = storm.wait_for(|weather| *weather == Weather::Refuse) => return,
        () = stranded(&mut stranding) => {}
    }
    // Until the client gives up.
    let mut ignored = vec![0; BUFFER_BYTES];
    while let Ok(1..) = from_client.read(&mut ignored).await {}
}

/// Returns when the weather turns to [`Weather::Strand`]; what it was before does not count.
async fn stranded(weather: &mut watch::Receiver<Weather>) {
    while weather.changed().await.is_ok() {
        if *weather.borrow_and_update() == Weather::Strand {
            return;
        }
    }
}

async fn requests(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, weather: watch::Receiver<Weather>) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let now = *weather.borrow();
        if let Weather::Delay(delay) = now {
            sleep(delay).await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

async fn replies(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    was_swallowed: &mut bool,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            // What was swallowed is missing: the rest of this connection means nothing.
            _ = weather.wait_for(|weather| *weather != Weather::SwallowReplies), if *was_swallowed => return,
        };
        let Ok(count @ 1..) = read else { return };
        let now = *weather.borrow();
        match now {
            Weather::Fair | Weather::Strand => {}
            Weather::Delay(delay) => sleep(delay).await,
            Weather::CutReply(bytes) => {
                let _ = to.write_all(&buffer[..count.min(bytes)]).await;
                return;
            }
            Weather::SwallowReplies => {
                *was_swallowed = true;
                continue;
            }
            Weather::Refuse => return,
        }
        if *was_swallowed || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each piece with the same piece, and the proxy before it.
    async fn echo() -> (Proxy, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                open.spawn(async move {
                    let mut buffer = [0; 64];
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        if stream.write_all(&buffer[..count]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (proxy, tasks)
    }

    async fn say(stream: &mut TcpStream, text: &str) -> io::Result<String> {
        stream.write_all(text.as_bytes()).await?;
        let mut buffer = [0; 64];
        let count = stream.read(&mut buffer).await?;
        Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
    }

    #[tokio::test]
    async fn each_weather_does_what_it_says() {
        let (proxy, _server) = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut stream, "hello").await.unwrap(), "hello");
        proxy.turn(Weather::Delay(Duration::from_millis(5)));
        assert_eq!(say(&mut stream, "later").await.unwrap(), "later");
        proxy.turn(Weather::CutReply(2));
        assert_eq!(say(&mut stream, "hello").await.unwrap(), "he");
        assert!(matches!(stream.read(&mut [0; 8]).await, Ok(0) | Err(_)), "the connection ended");

        proxy.turn(Weather::SwallowReplies);
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(b"lost").await.unwrap();
        let mut buffer = [0; 8];
        let silence = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut buffer)).await;
        assert!(silence.is_err(), "a swallowed reply came: {silence:?}");
        proxy.turn(Weather::Fair);
        assert!(
            matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)),
            "what was swallowed does not come later"
        );

        let mut open = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut open, "before").await.unwrap(), "before");
        proxy.turn(Weather::Strand);
        let mut fresh = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut fresh, "fine").await.unwrap(), "fine");
        open.write_all(b"into the void").await.unwrap();
        let silence = tokio::time::timeout(Duration::from_millis(50), open.read(&mut buffer)).await;
        assert!(silence.is_err(), "a stranded connection said {silence:?}");

        proxy.turn(Weather::Fair);
        let mut open = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut open, "again").await.unwrap(), "again");
        proxy.turn(Weather::Refuse);
        assert!(matches!(open.read(&mut buffer).await, Ok(0) | Err(_)));
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(matches!(refused.read(&mut buffer).await, Ok(0) | Err(_)));
    }
}
