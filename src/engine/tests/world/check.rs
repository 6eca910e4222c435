//! What must hold for every run, by the ledgers alone.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::World;
use crate::definition::webhook::EventType;
use crate::engine::machine::WebhookFacts;
use crate::json;
use crate::run::Status;

impl World {
    /// What must hold for every run, whatever happened to it.
    pub(in crate::engine::tests) fn check(&self) {
        let mut bodies: BTreeMap<&str, &Bytes> = BTreeMap::new();
        let mut ids: BTreeMap<&Bytes, &str> = BTreeMap::new();
        for received in &self.received {
            assert_eq!(
                *bodies.entry(&received.id).or_insert(&received.body),
                &received.body,
                "one id, two bodies"
            );
            assert_eq!(*ids.entry(&received.body).or_insert(&received.id), received.id, "one body, two ids");
            let text = std::str::from_utf8(&received.body).expect("UTF-8");
            assert_eq!(json::get(text, &["id"]).map(json::text_of).as_deref(), Some(received.id.as_str()));
        }
        for webhook in &self.facts.webhooks {
            self.check_order(webhook);
        }
        // The source never changes, so a page that comes again is the same event, whatever came in between: a crash, a
        // stop, a resume. Only a list that starts over, or has an error instead, puts another page in its place.
        if self.luck.expired == 0.0 && self.luck.permanent == 0.0 {
            let mut ids: BTreeMap<(&str, u64), &str> = BTreeMap::new();
            for received in &self.received {
                let Some(seq) = received.seq else { continue };
                let id = *ids.entry((&received.webhook, seq)).or_insert(&received.id);
                assert_eq!(id, received.id, "page {seq} came again under another id");
            }
        }
        let checkpoint = self.checkpoint();
        if self.outcome().status == Status::Completed {
            let kept: Vec<&String> = self.stages.keys().filter(|name| *name != "frozen").collect();
            assert_eq!(kept.len(), checkpoint.terminal.len(), "stages left behind: {kept:?}");
            assert_eq!(checkpoint.terminal.is_empty(), !checkpoint.terminal_undelivered);
            assert!(checkpoint.outbox.is_empty() && checkpoint.frames.is_empty());
        }
    }

    fn check_order(&self, webhook: &WebhookFacts) {
        let attempts = self.facts.attempt as usize;
        let mut last = 0;
        let mut started = BTreeSet::new();
        let mut terminal = BTreeSet::new();
        let mut limited = BTreeSet::new();
        for received in self.acknowledged().filter(|received| received.webhook == webhook.id.as_str()) {
            match received.event {
                EventType::RunStarted => {
                    started.insert(&received.id);
                }
                EventType::Record => {
                    let seq = received.seq.expect("a page has a number");
                    assert!(seq == last || seq == last + 1, "page {seq} after page {last}");
                    assert!(terminal.len() < attempts, "a page after the end");
                    last = seq;
                }
                EventType::RunCompleted | EventType::RunFailed | EventType::RunStopped => {
                    terminal.insert(&received.id);
                }
                EventType::RateLimited => {
                    let text = std::str::from_utf8(&received.body).expect("UTF-8");
                    let until = json::get(text, &["payload", "resumes_at"]).map(str::to_owned);
                    limited.insert((until, received.id.clone()));
                }
                EventType::RecordError
                | EventType::RunCreated
                | EventType::RunUpdated
                | EventType::RunDeleted
                | EventType::TriggerFailed
                | EventType::AccountRefused
                | EventType::AccountReactivated => {}
            }
        }
        let generations: BTreeSet<_> = limited.iter().map(|(until, _)| until).collect();
        assert_eq!(generations.len(), limited.len(), "a rate limit was reported twice");
        assert!(started.len() <= 1, "started twice");
        let takes = |event| webhook.takes.contains(&event);
        let undelivered = self.checkpoint().terminal_undelivered;
        assert!(terminal.len() <= attempts, "{} ends, {attempts} attempts", terminal.len());
        if self.outcome().status == Status::Completed && takes(EventType::RunCompleted) {
            assert_eq!(started.len(), 1);
            assert!(!terminal.is_empty() || undelivered, "a completed run whose webhook does not know");
        }
    }
}
