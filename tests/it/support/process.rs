//! One of the product's processes, as an operator would start it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::PATIENCE;

/// How much of a log a failure shows.
const LOG_TAIL_LINES: usize = 25;

pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `program` (`rapidbridge-worker`) with these settings and no others. It stays in the test's process
    /// group, so that whoever ends the test ends it too.
    pub(crate) fn start(program: &str, name: &str, folder: &Path, settings: &[(String, String)]) -> Self {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).unwrap();
        let child = Command::new(find(program))
            .env_clear()
            .envs(settings.iter().map(|(key, value)| (key, value)))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { name: name.to_owned(), log, child }
    }

    /// Whether this is the worker that the API calls `holder`: its name has the process id between dashes.
    pub(crate) fn is_called(&self, holder: &str) -> bool {
        let pid = self.child.id().map(|pid| pid.to_string());
        pid.is_some_and(|pid| holder.split('-').any(|part| part == pid))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        kill_process(pid.unwrap_or_else(|| panic!("{} has left", self.name)), signal).unwrap();
    }

    /// The most memory it ever had, in bytes, as the kernel counts it.
    pub(crate) fn memory_peak(&self) -> u64 {
        let path =
            format!("/proc/{}/status", self.child.id().unwrap_or_else(|| panic!("{} has left", self.name)));
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    }

    /// SIGKILL; it is gone when this returns.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Returns when it has left by itself.
    pub(crate) async fn left(&mut self) -> ExitStatus {
        let left = timeout(PATIENCE, self.child.wait()).await;
        left.unwrap_or_else(|_| panic!("{} does not leave", self.name)).unwrap()
    }

    /// Panics when it left though nobody asked it to.
    pub(crate) fn check_alive(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} left by itself ({status}); the end of its log:\n{}", self.name, self.tail());
        }
    }

    pub(crate) fn log_text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub(crate) fn tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

/// The program beside this test's folder: target/debug/deps/it-… → target/debug/….
fn find(program: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(Path::parent).unwrap().join(program);
    assert!(built.is_file(), "{} is missing: run `cargo build --workspace` first", built.display());
    built
}
