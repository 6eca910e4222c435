//! Definitions at rest: what was applied, with its secrets sealed, in one slot, so that an `apply` is one script.
//!
//! Jobs and integrations are kept under their content's address as well: a run pins the addresses it started
//! with and executes those, whatever is applied later.

mod connected;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{PATIENCE, Store, StoreError, Unconfirmed, keys};
use crate::clock::{self, Millis};
use crate::definition::{Document, Kind};
use crate::json::Unknown;
use crate::seal::Sealer;

pub use connected::Connected;

/// The member that stands for a sealed value.
const SEALED: &str = "$sealed";

/// Definitions applied by one call at most; bounds the script.
pub const APPLY_MAX: usize = 2_000;

/// The definitions of one environment.
#[derive(Debug, Clone)]
pub struct Definitions {
    store: Store,
    sealer: Arc<Sealer>,
}

/// A definition as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// What was written, with secrets sealed.
    body: Value,
    /// Pointer → fingerprint of the secret there, to tell whether it changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    fingerprints: BTreeMap<String, String>,
    /// The address of its content.
    pub revision: String,
    /// When it was applied first.
    pub created_at: Millis,
    /// When it changed last.
    pub updated_at: Millis,
    /// What a later version keeps beside these.
    #[serde(flatten)]
    unknown: Unknown,
}

/// What applying one document does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The document's kind.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// What happens to it.
    pub action: Action,
    /// What differs; secrets only by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diff: Vec<Difference>,
}

/// What happens to a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is new.
    Created,
    /// It differs from what is there.
    Updated,
    /// It is what is there.
    Unchanged,
    /// It goes.
    Deleted,
}

/// One value that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where, as `resources[0].query.limit`.
    pub path: String,
    /// What is there now, as JSON; absent when it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What will be there, as JSON; absent when it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// All definitions at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Which state it is: changes whenever anything is applied.
    pub generation: String,
    records: BTreeMap<(Kind, String), Record>,
}

impl Definitions {
    /// The definitions in `store`, sealed and opened with `sealer`.
    pub fn new(store: Store, sealer: Arc<Sealer>) -> Self {
        Self { store, sealer }
    }

    fn prefix(&self) -> String {
        keys::definitions(self.store.environment())
    }

    fn hash(&self, kind: Kind) -> String {
        format!("{}{kind}", self.prefix())
    }

    /// Changes whenever anything is applied.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn generation(&self) -> Result<String, StoreError> {
        let key = format!("{}generation", self.prefix());
        let found: Option<String> =
            redis::cmd("GET").arg(key).query_async(&mut self.store.shared.clone()).await?;
        Ok(found.unwrap_or_else(|| "0".to_owned()))
    }

    /// Everything that was applied.
    ///
    /// # Errors
    /// When Redis can't be reached, or what it holds can't be read.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let mut call = self.store.scripts.snapshot.key(self.prefix());
        for kind in Kind::ALL {
            call.arg(kind.to_string());
        }
        // Not on the hot path's connection: it may be large.
        let mut connection = self.store.pooled().await?;
        let answers: Vec<redis::Value> = call.invoke_async(&mut connection).await?;
        let mut answers = answers.into_iter();
        let generation: Option<String> = answers
            .next()
            .map(redis::from_redis_value)
            .transpose()
            .map_err(|error| StoreError::Damaged(error.to_string()))?;
        let mut records = BTreeMap::new();
        for (kind, answer) in Kind::ALL.iter().zip(answers) {
            let found: BTreeMap<String, String> =
                redis::from_redis_value(answer).map_err(|error| StoreError::Damaged(error.to_string()))?;
            for (id, text) in found {
                let record = parse_record(*kind, &id, &text)?;
                records.insert((*kind, id), record);
            }
        }
        Ok(Snapshot { generation: generation.unwrap_or_else(|| "0".to_owned()), records })
    }

    /// Checks at start that this process's keys open what is sealed: with a wrong one it would fail whatever run
    /// it takes. One account and one webhook, drawn at random, speak for all.
    ///
    /// # Errors
    /// When they don't, or Redis can't be reached.
    pub async fn check_keys(&self) -> Result<(), StoreError> {
        for kind in Kind::ALL.iter().filter(|kind| !kind.secret_pointers().is_empty()) {
            let mut connection = self.store.shared.clone();
            let drawn: Option<String> =
                redis::cmd("HRANDFIELD").arg(self.hash(*kind)).query_async(&mut connection).await?;
            if let Some(id) = drawn {
                self.document(*kind, &id).await?;
            }
        }
        Ok(())
    }

    /// One definition as it is kept.
    ///
    /// # Errors
    /// When Redis can't be reached, or what it holds can't be read.
    pub async fn record(&self, kind: Kind, id: &str) -> Result<Option<Record>, StoreError> {
        let found: Option<String> = redis::cmd("HGET")
            .arg(self.hash(kind))
            .arg(id)
            .query_async(&mut self.store.shared.clone())
            .await?;
        found.map(|text| parse_record(kind, id, &text)).transpose()
    }

    /// One definition with its secrets opened.
    ///
    /// # Errors
    /// When Redis can't be reached, or the secrets can't be opened with this process's keys.
    pub async fn document(&self, kind: Kind, id: &str) -> Result<Option<Document>, StoreError> {
        match self.record(kind, id).await? {
            Some(record) => self.open(kind, id, &record).map(Some),
            None => Ok(None),
        }
    }

    /// The job or integration kept under `address`.
    ///
    /// # Errors
    /// When Redis can't be reached, or it is no longer there.
    pub async fn content(&self, kind: Kind, address: &str) -> Result<Document, StoreError> {
        let key = format!("{}content:{address}", self.prefix());
        let found: Option<String> =
            redis::cmd("GET").arg(key).query_async(&mut self.store.shared.clone()).await?;
        let text =
            found.ok_or_else(|| StoreError::Damaged(format!("revision {address} of a {kind} is gone")))?;
        let body: Value =
            serde_json::from_str(&text).map_err(|error| StoreError::Damaged(error.to_string()))?;
        Document::new(kind, &body).map_err(|problems| StoreError::Damaged(problems.to_string()))
    }

    /// Every definition of a kind whose secrets can be opened.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn readable(&self, kind: Kind) -> Result<Vec<Document>, StoreError> {
        let all: BTreeMap<String, String> =
            redis::cmd("HGETALL").arg(self.hash(kind)).query_async(&mut self.store.shared.clone()).await?;
        let open = |(id, text): (&String, &String)| {
            let opened = parse_record(kind, id, text).and_then(|record| self.open(kind, id, &record));
            opened.inspect_err(|error| tracing::warn!(%kind, id, %error, "a definition can't be read")).ok()
        };
        Ok(all.iter().filter_map(open).collect())
    }

    /// Every definition of a kind, secrets opened.
    ///
    /// # Errors
    /// When Redis can't be reached, or what it holds can't be read.
    pub async fn all(&self, kind: Kind) -> Result<Vec<Document>, StoreError> {
        let all: BTreeMap<String, String> =
            redis::cmd("HGETALL").arg(self.hash(kind)).query_async(&mut self.store.shared.clone()).await?;
        all.iter().map(|(id, text)| self.open(kind, id, &parse_record(kind, id, text)?)).collect()
    }

    /// Keeps a job or integration that no definition holds, for runs that execute it; its address.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn keep(&self, document: &Document) -> Result<String, StoreError> {
        let now = clock::now();
        let address = self.seal(document, now, now)?.revision;
        let prefix = self.prefix();
        // Pinned first, so that an old one which nobody used is not forgotten in between.
        let mut pipe = redis::pipe();
        pipe.cmd("ZADD").arg(format!("{prefix}contents")).arg(now.0).arg(&address).ignore();
        pipe.cmd("SET")
            .arg(format!("{prefix}content:{address}"))
            .arg(document.body.to_string())
            .arg("NX")
            .ignore();
        pipe.query_async::<()>(&mut self.store.shared.clone()).await?;
        Ok(address)
    }

    /// Notes that a run pins these addresses, so that they are kept as long as runs are.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn pin(&self, addresses: &[&str]) -> Result<(), StoreError> {
        if addresses.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("ZADD");
        command.arg(format!("{}contents", self.prefix())).arg("XX");
        for address in addresses {
            command.arg(clock::now().0).arg(*address);
        }
        Ok(command.query_async(&mut self.store.shared.clone()).await?)
    }

    /// Contents that are not current, were last pinned before `before`, and that no run which has not ended executes,
    /// however long ago it was made.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn unused_contents(&self, before: Millis) -> Result<Vec<String>, StoreError> {
        let mut connection = self.store.pooled().await?;
        let key = format!("{}contents", self.prefix());
        let mut command = redis::cmd("ZRANGEBYSCORE");
        command.arg(&key).arg("-inf").arg(before.0).arg("LIMIT").arg(0).arg(APPLY_MAX);
        let old: Vec<String> = command.query_async(&mut connection).await?;
        if old.is_empty() {
            return Ok(old);
        }
        let snapshot = self.snapshot().await?;
        let mut used: HashSet<String> =
            snapshot.records.values().map(|record| record.revision.clone()).collect();
        for partition in 0..self.store.partitions() {
            let live = self.store.live_runs(partition).await?.into_iter();
            used.extend(live.flat_map(|request| [request.revisions.job, request.revisions.integration]));
        }
        let (used, unused): (Vec<String>, Vec<String>) =
            old.into_iter().partition(|address| used.contains(address));
        self.pin(&used.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        Ok(unused)
    }

    /// Forgets those of `contents` that nobody pinned or applied since `before`; how many.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn forget_contents(&self, contents: &[String], before: Millis) -> Result<usize, StoreError> {
        let mut call = self.store.scripts.forget_contents.key(self.prefix());
        call.arg(before.0).arg(contents);
        self.store.call(&call, PATIENCE).await
    }

    /// What applying `documents` to `snapshot` would do, document by document.
    ///
    /// # Errors
    /// When a secret can't be compared.
    pub fn changes(&self, snapshot: &Snapshot, documents: &[Document]) -> Result<Vec<Change>, StoreError> {
        documents.iter().map(|document| self.change(snapshot, document)).collect()
    }

    fn change(&self, snapshot: &Snapshot, document: &Document) -> Result<Change, StoreError> {
        let before = snapshot.records.get(&(document.kind, document.id.clone()));
        let mut diff = Vec::new();
        let old = before.map(|record| without_secrets(document.kind, &record.body));
        let new = without_secrets(document.kind, &document.body);
        differences("", old.as_ref(), Some(&new), &mut diff);
        for pointer in document.kind.secret_pointers() {
            let path = pointer.trim_start_matches('/').to_owned();
            let secret = document.body.pointer(pointer);
            let known = before.and_then(|record| record.fingerprints.get(*pointer));
            let hidden = || Some("(secret)".to_owned());
            match (known, secret) {
                (None, None) => {}
                (Some(print), Some(secret))
                    if self.sealer.matches(
                        &self.aad(document, pointer),
                        secret.to_string().as_bytes(),
                        print,
                    ) => {}
                (known, secret) => diff.push(Difference {
                    path,
                    before: known.and_then(|_| hidden()),
                    after: secret.and_then(|_| hidden()),
                }),
            }
        }
        let action = match before {
            None => Action::Created,
            Some(_) if diff.is_empty() => Action::Unchanged,
            Some(_) => Action::Updated,
        };
        Ok(Change { kind: document.kind.as_str(), id: document.id.clone(), action, diff })
    }

    /// Puts `documents` and removes `deleted`, all or none. False when somebody changed definitions since
    /// `snapshot` was read: read again and decide anew.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn apply(
        &self,
        snapshot: &Snapshot,
        documents: &[Document],
        deleted: &[(Kind, String)],
    ) -> Result<bool, StoreError> {
        let now = clock::now();
        let prefix = self.prefix();
        let mut call = self.store.scripts.apply.key(&prefix);
        call.arg(&snapshot.generation);
        for document in documents {
            let before = snapshot.records.get(&(document.kind, document.id.clone()));
            let mut record = self.seal(document, before.map_or(now, |record| record.created_at), now)?;
            record.unknown = before.map(|record| record.unknown.clone()).unwrap_or_default();
            call.arg(document.kind.as_str()).arg(&document.id).arg(super::runs::to_json(&record));
            match document.kind {
                Kind::Integration | Kind::SyncJob => {
                    call.arg(&record.revision).arg(document.body.to_string())
                }
                Kind::UnifiedModel | Kind::Account | Kind::Webhook | Kind::Trigger => call.arg("").arg(""),
            };
        }
        for (kind, id) in deleted {
            call.arg(kind.as_str()).arg(id).arg("").arg("").arg("");
        }
        let (state, _generation): (String, String) =
            self.store.call_safely(&prefix, &call, PATIENCE, Unconfirmed::Fails).await?;
        Ok(state == "ok")
    }

    /// Waits until what was applied before is as safe as `redis.durability` says: an `apply` that is repeated because
    /// it was not confirmed changes nothing.
    ///
    /// # Errors
    /// When Redis can't be written, or replicas don't confirm in time.
    pub async fn confirm(&self) -> Result<(), StoreError> {
        self.store.confirm(&self.prefix()).await
    }

    /// Opens the secrets of everything in `snapshot`.
    ///
    /// # Errors
    /// When a secret can't be opened with this process's keys.
    pub fn documents(&self, snapshot: &Snapshot) -> Result<Vec<Document>, StoreError> {
        snapshot.records.iter().map(|((kind, id), record)| self.open(*kind, id, record)).collect()
    }

    fn aad(&self, document: &Document, pointer: &str) -> String {
        aad(self.store.environment().as_str(), document.kind, &document.id, pointer)
    }

    fn seal(
        &self,
        document: &Document,
        created_at: Millis,
        updated_at: Millis,
    ) -> Result<Record, StoreError> {
        let mut body = document.body.clone();
        let mut fingerprints = BTreeMap::new();
        for pointer in document.kind.secret_pointers() {
            let Some(secret) = body.pointer_mut(pointer) else { continue };
            let plain = secret.to_string();
            let aad = self.aad(document, pointer);
            let sealed = self
                .sealer
                .seal(&aad, plain.as_bytes())
                .map_err(|error| StoreError::Unfit(error.to_string()))?;
            fingerprints.insert((*pointer).to_owned(), self.sealer.fingerprint(&aad, plain.as_bytes()));
            *secret = json!({ SEALED: sealed });
        }
        let mut hash = Sha256::new();
        hash.update(without_secrets(document.kind, &body).to_string());
        hash.update(super::runs::to_json(&fingerprints));
        let revision: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Ok(Record { body, fingerprints, revision, created_at, updated_at, unknown: Unknown::default() })
    }

    /// A definition with its secrets opened.
    ///
    /// # Errors
    /// When they can't be opened with this process's keys.
    pub fn open(&self, kind: Kind, id: &str, record: &Record) -> Result<Document, StoreError> {
        let mut body = record.body.clone();
        for pointer in kind.secret_pointers() {
            let Some(place) = body.pointer_mut(pointer) else { continue };
            let Some(sealed) = place.get(SEALED).and_then(Value::as_str) else { continue };
            let aad = aad(self.store.environment().as_str(), kind, id, pointer);
            let plain = self.sealer.open(&aad, sealed).map_err(|error| {
                StoreError::Unfit(format!(
                    "{pointer} of {kind} {id:?} can't be opened: {error}; check seal.key and seal.previous"
                ))
            })?;
            *place = serde_json::from_slice(&plain)
                .map_err(|_| StoreError::Damaged(format!("{pointer} of {kind} {id:?}")))?;
        }
        Document::new(kind, &body).map_err(|problems| StoreError::Damaged(problems.to_string()))
    }
}

impl Snapshot {
    /// Every definition of a kind, by id.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&str, &Record)> {
        self.records
            .iter()
            .filter(move |((found, _), _)| *found == kind)
            .map(|((_, id), record)| (id.as_str(), record))
    }

    /// Whether there is such a definition.
    pub fn contains(&self, kind: Kind, id: &str) -> bool {
        self.records.contains_key(&(kind, id.to_owned()))
    }
}

impl Record {
    /// The definition as the API shows it: without its secrets.
    pub fn public(&self, kind: Kind) -> Value {
        let mut body = without_secrets(kind, &self.body);
        if let Some(members) = body.as_object_mut() {
            let hidden: Vec<&str> =
                self.fingerprints.keys().map(|pointer| pointer.trim_start_matches('/')).collect();
            if !hidden.is_empty() {
                members.insert("secret_fields".into(), json!(hidden));
            }
            members.insert("revision".into(), json!(self.revision));
            members.insert("created_at".into(), json!(self.created_at.rfc3339()));
            members.insert("updated_at".into(), json!(self.updated_at.rfc3339()));
        }
        body
    }
}

fn aad(environment: &str, kind: Kind, id: &str, pointer: &str) -> String {
    format!("{environment}/{kind}/{id}{pointer}")
}

fn parse_record(kind: Kind, id: &str, text: &str) -> Result<Record, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged(format!("{kind} {id:?}: {error}")))
}

fn without_secrets(kind: Kind, body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(members) = body.as_object_mut() {
        for pointer in kind.secret_pointers() {
            members.remove(pointer.trim_start_matches('/'));
        }
    }
    body
}

/// Lists where `before` and `after` differ, leaf by leaf.
fn differences(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (before, after) {
        let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            differences(&path, old.get(name), new.get(name), found);
        }
        return;
    }
    if let (Some(Value::Array(old)), Some(Value::Array(new))) = (before, after) {
        for index in 0..old.len().max(new.len()) {
            differences(&format!("{path}[{index}]"), old.get(index), new.get(index), found);
        }
        return;
    }
    if path.is_empty() {
        if let (None, Some(Value::Object(new))) = (before, after) {
            for (name, value) in new {
                found.push(Difference { path: name.clone(), before: None, after: Some(value.to_string()) });
            }
        }
        return;
    }
    let text = |value: Option<&Value>| value.map(Value::to_string);
    found.push(Difference { path: path.to_owned(), before: text(before), after: text(after) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_leaf_by_leaf() {
        let before = json!({"a": 1, "b": {"c": [1, 2], "d": "x"}, "gone": true});
        let after = json!({"a": 1, "b": {"c": [1, 3, 4], "d": "x"}, "new": null});
        let mut found = Vec::new();
        differences("", Some(&before), Some(&after), &mut found);
        let lines: Vec<String> = found
            .iter()
            .map(|d| {
                format!(
                    "{}: {} → {}",
                    d.path,
                    d.before.as_deref().unwrap_or("-"),
                    d.after.as_deref().unwrap_or("-")
                )
            })
            .collect();
        assert_eq!(lines, ["b.c[1]: 2 → 3", "b.c[2]: - → 4", "gone: true → -", "new: - → null"]);
    }
}
