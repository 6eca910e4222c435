//! Reading one request: headers, envelope, and the ids of its records as they were written, never through a
//! float.

use std::borrow::Cow;
use std::time::Instant;

use axum::http::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::Received;
use crate::json;

/// The events that a run waits for, in order; they carry the worker's epoch.
pub(super) const CHAIN: [&str; 6] = [
    "sync_job_run:started",
    "sync_job_run:record",
    "sync_job_run:record_error",
    "sync_job_run:rate_limited",
    "sync_job_run:completed",
    "sync_job_run:failed",
];

/// A request and what its body says.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) received: Received,
    /// The `id` of each record as it was written; a record without one is `null`.
    pub(super) record_ids: Vec<Box<str>>,
    /// The body's own `id`.
    pub(super) body_id: Option<String>,
    /// What is wrong with its form, in sentences.
    pub(super) faults: Vec<String>,
}

#[derive(Deserialize)]
struct Envelope<'b> {
    #[serde(borrow)]
    id: Cow<'b, str>,
    event: Cow<'b, str>,
    payload: Payload<'b>,
}

#[derive(Deserialize)]
struct Payload<'b> {
    /// Of a lifecycle event: the run's.
    #[serde(borrow, default)]
    id: Option<&'b RawValue>,
    #[serde(default)]
    resource: Option<Cow<'b, str>>,
    #[serde(default)]
    records: Option<Vec<&'b RawValue>>,
    #[serde(default)]
    meta: Option<Meta<'b>>,
}

#[derive(Deserialize)]
struct Meta<'b> {
    #[serde(borrow, default)]
    sync_job_run_id: Option<Cow<'b, str>>,
    #[serde(default)]
    seq: Option<u64>,
}

impl Message {
    pub(super) fn read(path: &str, headers: HeaderMap, body: Bytes, at: Instant) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
        let received = Received {
            index: 0,
            at,
            path: path.to_owned(),
            id: text("webhook-id").unwrap_or_default().to_owned(),
            event: String::new(),
            run: text("rapidbridge-run").map(ToOwned::to_owned),
            seq: number("rapidbridge-seq"),
            epoch: number("rapidbridge-epoch"),
            attempt: number("rapidbridge-attempt"),
            resource: None,
            records: 0,
            digest: Sha256::digest(&body).into(),
            body: Some(body.clone()),
            given: None,
            headers,
        };
        let mut message = Self { received, record_ids: Vec::new(), body_id: None, faults: Vec::new() };
        match serde_json::from_slice::<Envelope<'_>>(&body) {
            Ok(envelope) => message.take(&envelope),
            Err(error) => message.faults.push(format!("the body is no event: {error}")),
        }
        message
    }

    fn take(&mut self, envelope: &Envelope<'_>) {
        self.body_id = Some(envelope.id.clone().into_owned());
        self.received.event = envelope.event.clone().into_owned();
        let payload = &envelope.payload;
        let records = payload.records.as_deref().unwrap_or_default();
        self.record_ids =
            records.iter().map(|record| json::get(record.get(), &["id"]).unwrap_or("null").into()).collect();
        self.received.records = records.len();
        self.received.resource = payload.resource.as_deref().map(ToOwned::to_owned);
        self.check_chain(payload);
    }

    /// Headers and body of a run's event must say the same.
    fn check_chain(&mut self, payload: &Payload<'_>) {
        let received = &self.received;
        if !CHAIN.contains(&received.event.as_str()) {
            return;
        }
        let mut faults = Vec::new();
        for (name, is_missing) in [
            ("rapidbridge-run", received.run.is_none()),
            ("rapidbridge-epoch", received.epoch.is_none()),
            ("rapidbridge-attempt", received.attempt.is_none()),
        ] {
            if is_missing {
                faults.push(format!("the header {name} is missing or unreadable"));
            }
        }
        let meta_run = payload.meta.as_ref().and_then(|meta| meta.sync_job_run_id.as_deref());
        let lifecycle_run = || payload.id.map(|id| json::text_of(id.get()));
        let body_run = meta_run.map(Cow::Borrowed).or_else(lifecycle_run);
        if body_run.is_some() && body_run.as_deref() != received.run.as_deref() {
            faults.push(format!("the body is of run {body_run:?}, the header of {:?}", received.run));
        }
        if received.event == "sync_job_run:record" {
            let seq = payload.meta.as_ref().and_then(|meta| meta.seq);
            if seq.is_none() || seq != received.seq {
                faults.push(format!("the body's seq is {seq:?}, the header's {:?}", received.seq));
            }
            if payload.resource.is_none() || payload.records.is_none() {
                faults.push("a record event without resource or records".to_owned());
            }
        }
        self.faults = faults;
    }
}
