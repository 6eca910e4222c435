//! One of the product's programs as a child process, as an operator would start it: with its settings in the
//! environment and nothing else, and a log of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Whose process group a program is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Its own: Ctrl-C is for whoever started it, who then stops it in good order.
    Own,
    /// That of whoever started it, so that who ends the one ends the other.
    Shared,
}

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Program {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Program {
    /// Starts `program` in `folder`, with this environment and no other; what it prints goes to `<name>.log` there.
    ///
    /// # Errors
    /// When there is no such program, or the log can't be written.
    pub fn start<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        program: &Path,
        name: &str,
        folder: &Path,
        environment: impl IntoIterator<Item = (K, V)>,
        group: Group,
    ) -> io::Result<Self> {
        if !program.is_file() {
            let text = format!(
                "{} is missing: build all programs first (`cargo build --workspace`)",
                program.display()
            );
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let log = folder.join(format!("{}.log", name.replace(' ', "-")));
        let output = File::create(&log)?;
        let mut command = Command::new(program);
        command.env_clear().envs(environment).current_dir(folder).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
        if group == Group::Own {
            command.process_group(0);
        }
        Ok(Self { name: name.to_owned(), log, child: command.spawn()? })
    }

    /// What it was called when it was started.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its log is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its log so far.
    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The end of its log.
    pub fn tail(&self, lines: usize) -> String {
        let text = self.log_text();
        let all: Vec<&str> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    /// Its process, until it is known to have ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether this is the worker that the API calls `holder`: a worker's name has its process id between dashes.
    pub fn is_called(&self, holder: &str) -> bool {
        self.pid().is_some_and(|pid| holder.split('-').any(|part| part == pid.to_string()))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let pid =
            pid.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{} has ended", self.name)))?;
        Ok(kill_process(pid, signal)?)
    }

    /// SIGKILL; it is gone when this returns.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system can't tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// How it ended by itself; `None` when it did not within this time.
    ///
    /// # Errors
    /// When the system can't tell.
    pub async fn left(&mut self, within: Duration) -> io::Result<Option<ExitStatus>> {
        timeout(within, self.child.wait()).await.ok().transpose()
    }
}
