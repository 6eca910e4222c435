//! The server's unix socket: where it goes, whether anyone answers there, and who that is.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::{POLL, RedisServerError, STOP_TIMEOUT};

/// The longest socket path every system takes: 104 bytes on macOS, 108 on Linux, with the closing zero.
const PATH_BYTES_MAX: usize = 100;
/// How long a server may take to say PONG once it is there.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// What somebody at a socket says to PING.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nobody is there.
    Nobody,
    /// Somebody is there, but does not serve (yet).
    Busy,
    /// It serves.
    Pong,
}

/// The socket's place: in the data folder, or in a folder of our own below `short_dir`, named after the data
/// folder, so that the next start finds a server that was left behind.
pub(super) fn place(data_dir: &Path, short_dir: &Path) -> Result<PathBuf, RedisServerError> {
    let beside = data_dir.join("redis.sock");
    if beside.as_os_str().len() <= PATH_BYTES_MAX {
        return Ok(beside);
    }
    let digest = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let folder = short_dir.join(format!("rapidbridge-{name}"));
    let failed = |source| RedisServerError::File {
        what: "can't make the socket's folder",
        path: folder.clone(),
        source,
    };
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    // Others may write into a shared folder such as /tmp: take what is there only when it is ours alone.
    let metadata = std::fs::symlink_metadata(&folder).map_err(failed)?;
    let ours = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    if !ours || metadata.mode() & 0o077 != 0 {
        return Err(failed(std::io::Error::other("it exists and does not belong to this user alone")));
    }
    Ok(folder.join("redis.sock"))
}

/// The address of a socket as the `redis` crate takes it; unusual characters are percent-encoded.
pub(super) fn url(socket: &Path) -> String {
    match Url::from_file_path(socket) {
        Ok(url) => format!("redis+unix://{}", url.path()),
        Err(()) => format!("redis+unix://{}", socket.display()),
    }
}

/// Whether a server answers at `socket`.
pub(super) async fn answers(socket: &Path) -> Answer {
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await.ok()?;
        let mut reply = [0u8; 5];
        let read = async {
            stream.write_all(b"PING\r\n").await?;
            stream.read_exact(&mut reply).await
        };
        Some(if read.await.is_ok() && reply == *b"+PONG" { Answer::Pong } else { Answer::Busy })
    };
    match timeout(PING_TIMEOUT, exchange).await {
        Ok(Some(answer)) => answer,
        Ok(None) => Answer::Nobody,
        Err(_) => Answer::Busy,
    }
}

/// Asks a server that still answers at `socket` to leave, when its data is ours, and waits until it has.
pub(super) async fn shut_down_stale(socket: &Path, data_dir: &Path) -> Result<(), RedisServerError> {
    if answers(socket).await == Answer::Nobody {
        return Ok(());
    }
    let occupied = |why: String| RedisServerError::Occupied { socket: socket.to_owned(), why };
    let theirs =
        data_dir_of(socket).await.map_err(|error| occupied(format!("does not say whose it is ({error})")))?;
    if Path::new(&theirs) != data_dir {
        return Err(occupied(format!("keeps its data in {theirs}")));
    }
    let mut stream = UnixStream::connect(socket).await.map_err(|error| occupied(error.to_string()))?;
    // No answer follows: the server closes the connection when it is done.
    stream.write_all(b"SHUTDOWN\r\n").await.map_err(|error| occupied(error.to_string()))?;
    let deadline = Instant::now() + STOP_TIMEOUT;
    while answers(socket).await != Answer::Nobody {
        if Instant::now() > deadline {
            return Err(occupied(format!("did not leave within {STOP_TIMEOUT:?}")));
        }
        sleep(POLL).await;
    }
    Ok(())
}

async fn data_dir_of(socket: &Path) -> redis::RedisResult<String> {
    let client = redis::Client::open(url(socket))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let (_, dir): (String, String) =
        redis::cmd("CONFIG").arg("GET").arg("dir").query_async(&mut connection).await?;
    Ok(dir)
}
