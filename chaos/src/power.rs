//! Power loss: Redis is gone, and so is what it wrote last. `appendfsync everysec` promises no more than that all but
//! the last second is on the disk; so the append-only file is cut back to the length it had a second before.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use rapidbridge::clock;
use tokio::task::AbortHandle;

/// How much the power loss takes.
const LOST: Duration = Duration::from_secs(1);
/// How often the file's length is noted.
const SAMPLE_EVERY: Duration = Duration::from_millis(20);
/// Lengths that are remembered: a few seconds.
const SAMPLES_MAX: usize = 250;

#[derive(Debug, Clone)]
struct Sample {
    at: Instant,
    file: PathBuf,
    length: u64,
}

/// Notes how the append-only file grows.
#[derive(Debug)]
pub(crate) struct Power {
    folder: PathBuf,
    samples: Arc<Mutex<VecDeque<Sample>>>,
    task: AbortHandle,
}

impl Power {
    /// Watches the append-only file of the server whose data is in `data`.
    pub(crate) fn watch(data: &Path) -> Self {
        let folder = data.join("appendonlydir");
        let samples: Arc<Mutex<VecDeque<Sample>>> = Arc::default();
        let (seen, watched) = (Arc::clone(&samples), folder.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(SAMPLE_EVERY);
            loop {
                ticks.tick().await;
                let Some((file, length)) = newest(&watched) else { continue };
                let mut samples = seen.lock().unwrap_or_else(PoisonError::into_inner);
                samples.push_back(Sample { at: clock::monotonic(), file, length });
                if samples.len() > SAMPLES_MAX {
                    samples.pop_front();
                }
            }
        });
        Self { folder, samples, task: task.abort_handle() }
    }

    /// Everything that the server wrote down, by file.
    pub(crate) fn kept(&self) -> std::io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let files = std::fs::read_dir(&self.folder)?.map(|entry| {
            let path = entry?.path();
            Ok((path.clone(), std::fs::read(path)?))
        });
        files.collect()
    }

    /// Takes the last second from the file of a server that was just killed. Says when the file was as it is now;
    /// `None` when it was begun anew meanwhile, so that nothing could be taken.
    pub(crate) fn cut(&self) -> anyhow::Result<Option<Instant>> {
        let Some((file, _)) = newest(&self.folder) else { return Ok(None) };
        let now = clock::monotonic();
        let kept = {
            let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
            let old = |sample: &&Sample| now.duration_since(sample.at) >= LOST;
            samples.iter().rev().find(old).filter(|sample| sample.file == file).cloned()
        };
        let Some(kept) = kept else { return Ok(None) };
        let opened = std::fs::OpenOptions::new().write(true).open(&file);
        opened
            .and_then(|opened| opened.set_len(kept.length).and_then(|()| opened.sync_all()))
            .with_context(|| format!("can't cut {}", file.display()))?;
        Ok(Some(kept.at))
    }
}

impl Drop for Power {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The file that Redis appends to, and its length: `appendonly.aof.<n>.incr.aof` with the highest number.
fn newest(folder: &Path) -> Option<(PathBuf, u64)> {
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let number = |path: &Path| -> Option<u64> {
        let name = path.file_name()?.to_str()?;
        name.strip_suffix(".incr.aof")?.rsplit('.').next()?.parse().ok()
    };
    let file = files.filter(|path| number(path).is_some()).max_by_key(|path| number(path))?;
    let length = std::fs::metadata(&file).ok()?.len();
    Some((file, length))
}
