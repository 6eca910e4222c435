//! Definitions from files and folders, and what is wrong with them.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rapidbridge::definition::{Checked, Document, Problem, read_part};
use rapidbridge::process::environment;

use crate::paint::{RED, YELLOW};

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// The deepest folder below a named one that is looked into.
const FOLDER_DEPTH_MAX: usize = 16;

/// The documents of all files, each checked by itself; their references are the server's affair.
pub(crate) fn read(paths: &[PathBuf], outcome: &str) -> anyhow::Result<Vec<Document>> {
    let mut files = Vec::new();
    for path in paths {
        gather(path, 0, &mut files)?;
    }
    if files.is_empty() {
        bail!("no .yaml, .yml or .json file in {}", paths_text(paths));
    }
    let variables: HashMap<String, String> = environment().collect();
    let named = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    read_part(named, &|name| variables.get(name).cloned())
        .map_err(|problems| refused(problems.iter(), outcome))
}

pub(crate) fn paths_text(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Prints what is odd about a definition that can be applied all the same.
pub(crate) fn advise(document: &Document) {
    let Ok(Checked::SyncJob(job)) = Checked::of(document) else { return };
    for advice in job.advice() {
        let problem = document.problem(&advice.path, &advice.message, Some(&advice.hint));
        anstream::eprintln!("{YELLOW}!{YELLOW:#} {problem}\n");
    }
}

/// Prints the problems; the error counts them and says the outcome.
pub(crate) fn refused<'p>(problems: impl Iterator<Item = &'p Problem>, outcome: &str) -> anyhow::Error {
    let mut count = 0;
    for problem in problems {
        count += 1;
        anstream::eprintln!("{RED}✗{RED:#} {problem}\n");
    }
    anyhow::anyhow!("{count} {}{outcome}", if count == 1 { "problem" } else { "problems" })
}

/// Files by their path in the order of their names; a folder's own files and those below it.
fn gather(path: &Path, depth: usize, files: &mut Vec<(String, String)>) -> anyhow::Result<()> {
    let shown = || path.display().to_string();
    if path == Path::new("-") {
        files.push(("standard input".to_owned(), text(io::stdin().lock(), "standard input")?));
        return Ok(());
    }
    if !path.is_dir() {
        let file = fs::File::open(path).with_context(|| format!("can't read {}", shown()))?;
        files.push((shown(), text(file, &shown())?));
        return Ok(());
    }
    if depth > FOLDER_DEPTH_MAX {
        bail!("{} is more than {FOLDER_DEPTH_MAX} folders deep", shown());
    }
    let entries = fs::read_dir(path).with_context(|| format!("can't read the folder {}", shown()))?;
    let mut entries = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        let hidden = entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let known =
            entry.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
        if !hidden && (known || entry.is_dir()) {
            gather(&entry, depth + 1, files)?;
        }
    }
    Ok(())
}

fn text(from: impl io::Read, name: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    from.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).with_context(|| format!("can't read {name}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        bail!("{name} is larger than {FILE_BYTES_MAX} bytes");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_in_the_order_of_names_without_what_is_hidden() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["b/z.yml", "c.yaml", "a.json", "notes.md", ".hidden.yaml"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let mut files = Vec::new();
        gather(folder.path(), 0, &mut files).unwrap();
        let texts: Vec<&str> = files.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["a.json", "b/z.yml", "c.yaml"]);
        assert!(
            gather(&folder.path().join("none"), 0, &mut files)
                .unwrap_err()
                .to_string()
                .contains("can't read")
        );
    }

    #[test]
    fn problems_of_files_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.yaml");
        fs::write(&file, "kind: sync_job\nid: a\nresource: 1\n").unwrap();
        let error = read(&[file], "; nothing was applied").unwrap_err().to_string();
        assert!(error.contains("problems; nothing was applied"), "{error}");
        assert!(read(&[folder.path().join("none.yaml")], "").is_err());
    }
}
