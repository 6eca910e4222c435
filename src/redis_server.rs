//! A private Redis or Valkey server as a child process: for `rapidbridge dev`, the demo and the tests.
//! It knows how to find, start, kill and restart one; not what is stored in it.

mod find;
mod socket;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

pub use find::{Found, Kind, NotFound, Search};

/// How long a server may take to answer its first PING. It reads its append-only file before.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a server may take to leave after it was asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two looks at a server that starts or leaves.
const POLL: Duration = Duration::from_millis(5);
/// How much of the server's log an error shows.
const LOG_TAIL_LINES: usize = 15;
/// How often another port is tried when somebody took the one that was free a moment ago.
const PORT_ATTEMPTS: u32 = 3;

/// What a private server needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the append-only file, the socket and the log live; made when missing.
    pub data_dir: PathBuf,
    /// Where the program is looked for.
    pub search: Search,
    /// Where the socket goes when its path in `data_dir` would be too long for the system.
    pub short_dir: PathBuf,
    /// Whether it also listens on a free loopback TCP port. It has no password: anyone on this machine may use it.
    pub port: Port,
    /// Further arguments of the program, such as `--replicaof`, after our own.
    pub arguments: Vec<String>,
}

/// Whether a server listens on TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// On its unix socket alone.
    None,
    /// Also on a free loopback port.
    Loopback,
}

impl Options {
    /// A server in `data_dir` on a unix socket alone, found on `path` (the value of `PATH`).
    pub fn new(data_dir: impl Into<PathBuf>, path: Option<std::ffi::OsString>) -> Self {
        Self {
            data_dir: data_dir.into(),
            search: Search { path, ..Search::default() },
            short_dir: PathBuf::from("/tmp"),
            port: Port::None,
            arguments: Vec::new(),
        }
    }
}

/// Why there is no private server.
#[derive(Debug, thiserror::Error)]
pub enum RedisServerError {
    /// No program that would do.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// A file or folder could not be used.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was to be done.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another server answers on the socket and does not leave, or keeps its data elsewhere.
    #[error("a server already answers on {} and {why}; stop it, or choose another data folder", socket.display())]
    Occupied {
        /// The socket it answers on.
        socket: PathBuf,
        /// Why it was left alone.
        why: String,
    },
    /// The server left instead of starting.
    #[error("{} ended while starting ({status}); the end of its log {}:\n{tail}", program.display(), log.display())]
    Exited {
        /// What was started.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// Where its log is.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// The server runs but does not answer.
    #[error("{} did not answer a PING within {START_TIMEOUT:?}; the end of its log {}:\n{tail}", program.display(), log.display())]
    Silent {
        /// What was started.
        program: PathBuf,
        /// Where its log is.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// The server could not be signalled or waited for.
    #[error("can't {what} the Redis server: {source}")]
    Process {
        /// What was to be done.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// A running private server. Dropping it kills it.
#[derive(Debug)]
pub struct RedisServer {
    found: Found,
    data_dir: PathBuf,
    socket: PathBuf,
    url: String,
    port: Option<u16>,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Finds a program, starts it and waits until it answers. A server that a killed process left behind in
    /// the same data folder is shut down first, so that two never write one append-only file.
    ///
    /// # Errors
    /// When no program will do, or it does not start; with the end of its log.
    pub async fn start(options: &Options) -> Result<Self, RedisServerError> {
        let found = options.search.find().await?;
        let data_dir = make_data_dir(&options.data_dir)?;
        let socket = socket::place(&data_dir, &options.short_dir)?;
        let url = socket::url(&socket);
        socket::shut_down_stale(&socket, &data_dir).await?;
        let arguments = options.arguments.clone();
        let mut server = Self { found, data_dir, socket, url, port: None, arguments, child: None };
        let mut attempt = 1;
        loop {
            server.port = match options.port {
                Port::None => None,
                Port::Loopback => Some(free_port()?),
            };
            match server.spawn().await {
                Err(RedisServerError::Exited { .. }) if server.port.is_some() && attempt < PORT_ATTEMPTS => {
                    attempt += 1;
                }
                outcome => return outcome.map(|()| server),
            }
        }
    }

    /// The address on the unix socket, as the `redis` crate takes it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address on TCP, when the server listens there.
    pub fn tcp_url(&self) -> Option<String> {
        self.port.map(|port| format!("redis://127.0.0.1:{port}"))
    }

    /// Its TCP port, when the server listens on one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Which program runs.
    pub fn program(&self) -> &Found {
        &self.found
    }

    /// Where its data is.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Where its output goes.
    pub fn log_file(&self) -> PathBuf {
        self.data_dir.join("redis.log")
    }

    /// Whether the server ended by itself.
    pub fn has_ended(&mut self) -> bool {
        let Some(child) = &mut self.child else { return false };
        let ended = matches!(child.try_wait(), Ok(Some(_)));
        if ended {
            self.child = None;
        }
        ended
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Ends it at once (SIGKILL), as a crash would, and returns when it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&mut self) -> Result<(), RedisServerError> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.map_err(|source| RedisServerError::Process { what: "kill", source })?;
        }
        Ok(())
    }

    /// Lets it write what it has and leave (SIGTERM); kills it when it takes too long.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn stop(&mut self) -> Result<(), RedisServerError> {
        self.signal(Signal::TERM, "stop")?;
        if let Some(mut child) = self.child.take()
            && timeout(STOP_TIMEOUT, child.wait()).await.is_err()
        {
            child.kill().await.map_err(|source| RedisServerError::Process { what: "kill", source })?;
        }
        Ok(())
    }

    /// Starts it again on the same data, socket and port, after stopping it when it still runs.
    ///
    /// # Errors
    /// When it does not start; with the end of its log.
    pub async fn restart(&mut self) -> Result<(), RedisServerError> {
        self.stop().await?;
        self.spawn().await
    }

    /// Freezes it (SIGSTOP): connections stay open and nothing answers.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn freeze(&self) -> Result<(), RedisServerError> {
        self.signal(Signal::STOP, "freeze")
    }

    /// Lets a frozen server go on (SIGCONT).
    ///
    /// # Errors
    /// When the system refuses.
    pub fn thaw(&self) -> Result<(), RedisServerError> {
        self.signal(Signal::CONT, "thaw")
    }

    fn signal(&self, signal: Signal, what: &'static str) -> Result<(), RedisServerError> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        match pid.map(|pid| kill_process(pid, signal)) {
            Some(Err(errno)) => Err(RedisServerError::Process { what, source: errno.into() }),
            Some(Ok(())) | None => Ok(()),
        }
    }

    async fn spawn(&mut self) -> Result<(), RedisServerError> {
        let log = self.log_file();
        let mut command = Command::new(&self.found.program);
        command
            .args(["--port", &self.port.unwrap_or(0).to_string(), "--bind", "127.0.0.1"])
            .arg("--unixsocket")
            .arg(&self.socket)
            .args(["--unixsocketperm", "700", "--appendonly", "yes", "--appendfsync", "everysec"])
            .args(["--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no"])
            .arg("--dir")
            .arg(&self.data_dir)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(append(&log)?)
            .stderr(append(&log)?)
            .kill_on_drop(true)
            // Ctrl-C in a terminal goes to the whole group; the server must outlive those who use it.
            .process_group(0);
        let child = command.spawn().map_err(|source| RedisServerError::File {
            what: "can't start",
            path: self.found.program.clone(),
            source,
        })?;
        self.child = Some(child);
        self.wait_until_ready().await
    }

    async fn wait_until_ready(&mut self) -> Result<(), RedisServerError> {
        let deadline = Instant::now() + START_TIMEOUT;
        let (program, log) = (self.found.program.clone(), self.log_file());
        loop {
            if socket::answers(&self.socket).await == socket::Answer::Pong {
                return Ok(());
            }
            let exited = self.child.as_mut().map(Child::try_wait).transpose();
            if let Some(status) = exited.ok().flatten().flatten() {
                self.child = None;
                return Err(RedisServerError::Exited { program, status, tail: tail(&log), log });
            }
            if Instant::now() > deadline {
                self.kill().await?;
                return Err(RedisServerError::Silent { program, tail: tail(&log), log });
            }
            sleep(POLL).await;
        }
    }
}

fn make_data_dir(path: &Path) -> Result<PathBuf, RedisServerError> {
    std::fs::create_dir_all(path).and_then(|()| path.canonicalize()).map_err(|source| {
        RedisServerError::File { what: "can't make the data folder", path: path.to_owned(), source }
    })
}

fn append(path: &Path) -> Result<File, RedisServerError> {
    OpenOptions::new().create(true).append(true).open(path).map_err(|source| RedisServerError::File {
        what: "can't write the log",
        path: path.to_owned(),
        source,
    })
}

/// A loopback port that nobody listens on at the moment.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> Result<u16, RedisServerError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address: SocketAddr| address.port())
        .map_err(|source| RedisServerError::Process { what: "find a free port for", source })
}

fn tail(log: &Path) -> String {
    let text =
        std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}
