//! Events as bytes. An event's body is a function of the run, its durable position and its content alone;
//! what differs from try to try stands in headers.
//!
//! The `webhook-id` is a digest of (run, webhook, ordinal, event, body without the id), so the same id always
//! means the same bytes, and a page that changed at the source between two tries has another id.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::clock::Millis;
use crate::definition::webhook::EventType;
use crate::engine::batch::Batch;
use crate::id::{EnvironmentId, RunId, WebhookId};
use crate::json::Json;

/// `msg_` and 128 bits in hexadecimal. No dot: Standard Webhooks signs `id.timestamp.body`.
const ID_LENGTH: usize = 4 + 32;

/// Everything that identifies an event, before its payload.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// What it is about.
    pub subject: Subject<'a>,
    /// The environment.
    pub environment: &'a EnvironmentId,
    /// The webhook it goes to.
    pub webhook: &'a WebhookId,
    /// What it is.
    pub event: EventType,
    /// A page's number for this webhook; of any other event the ordinal among all of the run for it.
    pub ordinal: u64,
    /// The time kept with the checkpoint before it.
    pub created_at: Millis,
}

/// What an event is about; its id tells one from the other.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A run.
    Run(RunId),
    /// Something that happened outside any run: the announcement's id.
    Announcement(&'a str),
}

impl std::fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Run(run) => run.fmt(f),
            Self::Announcement(id) => f.write_str(id),
        }
    }
}

impl Envelope<'_> {
    /// The event with this payload (a JSON text): its id and its body.
    pub fn seal(&self, payload: &str) -> (String, Bytes) {
        self.seal_with(payload.len(), |body| body.extend_from_slice(payload.as_bytes()))
    }

    /// The `record` event of `batch`; its records are copied as they were written. `meta` is a JSON object's text.
    pub fn seal_records(&self, resource: &str, batch: &Batch, meta: &str) -> (String, Bytes) {
        let bytes = batch.bytes() + batch.len() + resource.len() + meta.len() + 64;
        self.seal_with(bytes, |body| {
            body.extend_from_slice(b"{\"resource\":");
            body.extend_from_slice(Json::string(resource).as_str().as_bytes());
            body.extend_from_slice(b",\"records\":[");
            for (index, record) in batch.iter().enumerate() {
                if index > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(record.as_bytes());
            }
            body.extend_from_slice(b"],\"meta\":");
            body.extend_from_slice(meta.as_bytes());
            body.push(b'}');
        })
    }

    fn seal_with(&self, payload_bytes: usize, write_payload: impl FnOnce(&mut Vec<u8>)) -> (String, Bytes) {
        let mut body = Vec::with_capacity(payload_bytes + 512);
        body.extend_from_slice(b"{\"id\":\"");
        let id_at = body.len();
        body.resize(id_at + ID_LENGTH, b' ');
        body.extend_from_slice(b"\",");
        let content_at = body.len();
        let head = format!(
            "\"event\":\"{}\",\"created_at\":\"{}\",\"environment_id\":\"{}\",\"webhook_id\":\"{}\",\"payload\":",
            self.event,
            self.created_at.rfc3339(),
            self.environment,
            self.webhook
        );
        body.extend_from_slice(head.as_bytes());
        write_payload(&mut body);
        body.push(b'}');
        let id = self.id(&body[content_at..]);
        body[id_at..id_at + ID_LENGTH].copy_from_slice(id.as_bytes());
        (id, Bytes::from(body))
    }

    fn id(&self, content: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{}\n{}\n{}\n{}\n", self.subject, self.webhook, self.ordinal, self.event));
        hash.update(Sha256::digest(content));
        let digest = hash.finalize();
        let mut id = String::with_capacity(ID_LENGTH);
        id.push_str("msg_");
        for byte in &digest[..16] {
            id.push_str(&format!("{byte:02x}"));
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope<'a>(environment: &'a EnvironmentId, webhook: &'a WebhookId, ordinal: u64) -> Envelope<'a> {
        let run = "01890a5d-ac96-774b-bcce-b302099a0003".parse().unwrap();
        let event = EventType::Record;
        let subject = Subject::Run(run);
        Envelope { subject, environment, webhook, event, ordinal, created_at: Millis(1_769_846_400_000) }
    }

    #[test]
    fn a_page_travels_as_it_was_written() {
        let (environment, webhook) = ("default".parse().unwrap(), "hook".parse().unwrap());
        let text = r#"[ {"n":12345678901234567890123,"n":1.10},  {"x":"\ud800"}]"#;
        let batch = Batch::of_json(text.to_owned());
        let (id, bytes) = envelope(&environment, &webhook, 4).seal_records("tickets", &batch, "{}");
        let text = std::str::from_utf8(&bytes).unwrap();
        assert_eq!(
            text,
            format!(
                r#"{{"id":"{id}","event":"sync_job_run:record","created_at":"2026-01-31T08:00:00.000Z","environment_id":"default","webhook_id":"hook","payload":{{"resource":"tickets","records":[{{"n":12345678901234567890123,"n":1.10}},{{"x":"\ud800"}}],"meta":{{}}}}}}"#
            )
        );
    }

    #[test]
    fn the_same_id_means_the_same_bytes() {
        let (environment, webhook) = ("default".parse().unwrap(), "hook".parse().unwrap());
        let first = envelope(&environment, &webhook, 4).seal("{}");
        assert_eq!(first, envelope(&environment, &webhook, 4).seal("{}"));
        assert_ne!(first.0, envelope(&environment, &webhook, 5).seal("{}").0);
        assert_ne!(first.0, envelope(&environment, &webhook, 4).seal("{ }").0);
        assert_eq!(first.0.len(), ID_LENGTH);
    }
}
