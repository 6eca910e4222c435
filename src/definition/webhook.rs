//! A webhook: the customer's endpoint that takes a run's events.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use super::document::Document;
use super::problem::Problems;
use crate::id::WebhookId;

pub(super) mod read;

/// The time a delivery may take when the webhook doesn't say.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// The longest time a webhook may allow for one delivery.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// The most secrets that sign each delivery: the current one and those being phased out.
pub const SECRETS_MAX: usize = 5;
/// The most headers of its own a webhook may have.
pub const HEADERS_MAX: usize = 20;
/// The longest value of such a header, in bytes.
pub const HEADER_VALUE_BYTES_MAX: usize = 4096;

/// A checked webhook.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The webhook's id.
    pub id: WebhookId,
    /// Where events are posted.
    pub target_url: Url,
    /// All live secrets, the current one first. Each is used as it is written for `X-Truto-Signature`; for
    /// Standard Webhooks a `whsec_` prefix means base64, any other text is taken as bytes.
    pub secrets: Vec<SecretString>,
    /// The events it takes; `None` means every event of a run's chain.
    pub event_types: Option<BTreeSet<EventType>>,
    /// Whether anything is sent at all.
    pub is_active: bool,
    /// Which answers acknowledge a delivery.
    pub ack: Ack,
    /// Whether `X-Truto-Signature` is sent as well.
    pub truto_signature: bool,
    /// Headers sent with every delivery: name (lower case) and value.
    pub headers: Vec<(String, SecretString)>,
    /// The longest time one delivery may take, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// How a failed delivery is tried again.
    pub retry: DeliveryRetry,
}

impl Webhook {
    /// The webhook that `document` describes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_document(document: &Document) -> Result<Self, Problems> {
        super::check::Checker::run(document, read::webhook)
    }

    /// Whether this webhook takes `event`: what it names, or without names every event of a run's chain. One that is
    /// switched off takes the same: its deliveries fail and wait, rather than be passed over.
    pub fn takes(&self, event: EventType) -> bool {
        match &self.event_types {
            Some(named) => named.contains(&event),
            None => event.is_by_default(),
        }
    }
}

/// Which answers acknowledge a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ack {
    /// 200 alone (the default, as RapidBridge does).
    #[default]
    Status200,
    /// Any 2xx.
    Any2xx,
}

/// How a failed delivery is tried again: at once a few times, then by parking the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryRetry {
    /// Tries of one delivery before the run parks; at least 1.
    pub attempts: u32,
    /// The wait before the second try; doubles each time, with jitter.
    pub base: Duration,
    /// The longest wait between two tries at once.
    pub max: Duration,
    /// The first parked wait; doubles each time, with jitter.
    pub park_base: Duration,
    /// The longest parked wait.
    pub park_max: Duration,
    /// How long one event may stay undelivered before its run fails.
    pub give_up_after: Duration,
}

impl Default for DeliveryRetry {
    fn default() -> Self {
        Self {
            attempts: 3,
            base: Duration::from_millis(500),
            max: Duration::from_secs(10),
            park_base: Duration::from_secs(10),
            park_max: Duration::from_secs(300),
            give_up_after: Duration::from_secs(24 * 3600),
        }
    }
}

macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The kinds of event a webhook can receive.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EventType {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl EventType {
            /// Every kind.
            pub const ALL: &'static [EventType] = &[$(EventType::$variant,)*];

            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(EventType::$variant => $name,)* }
            }
        }

        impl FromStr for EventType {
            type Err = UnknownEventType;

            fn from_str(text: &str) -> Result<Self, UnknownEventType> {
                match text { $($name => Ok(EventType::$variant),)* _ => Err(UnknownEventType(text.to_owned())) }
            }
        }
    };
}

event_types! {
    /// A run was accepted. Outside the run's chain: no run waits for it.
    RunCreated = "sync_job_run:created",
    /// A run's status changed. Outside the run's chain.
    RunUpdated = "sync_job_run:updated",
    /// A run was removed. Outside the run's chain.
    RunDeleted = "sync_job_run:deleted",
    /// A run is about to start; 400 refuses it.
    RunStarted = "sync_job_run:started",
    /// A page of records.
    Record = "sync_job_run:record",
    /// Something that could not be fetched.
    RecordError = "sync_job_run:record_error",
    /// The source limits the rate; the run waits.
    RateLimited = "sync_job_run:rate_limited",
    /// The run ended well.
    RunCompleted = "sync_job_run:completed",
    /// The run ended with an error.
    RunFailed = "sync_job_run:failed",
    /// The run was stopped; sent to webhooks that name it.
    RunStopped = "sync_job_run:stopped",
    /// A slot of a trigger could not make a run. Outside any run's chain.
    TriggerFailed = "sync_job_cron_trigger:failed",
    /// A source does not let an account in any more: it must be connected again. Outside any run's chain.
    AccountRefused = "integrated_account:authentication_error",
    /// A source lets an account in again. Outside any run's chain.
    AccountReactivated = "integrated_account:reactivated",
}

impl EventType {
    /// Whether it is sent at all.
    pub fn is_sent(self) -> bool {
        match self {
            Self::RunCreated | Self::RunUpdated | Self::RunDeleted | Self::TriggerFailed => false,
            Self::RunStarted
            | Self::Record
            | Self::RecordError
            | Self::RateLimited
            | Self::RunCompleted
            | Self::RunFailed
            | Self::RunStopped
            | Self::AccountRefused
            | Self::AccountReactivated => true,
        }
    }

    /// Whether it is about a run; the others happen outside any.
    pub fn is_of_run(self) -> bool {
        !matches!(self, Self::TriggerFailed | Self::AccountRefused | Self::AccountReactivated)
    }

    /// Whether a webhook that names no events gets this one: the chain of a run as RapidBridge has it. The
    /// others go to webhooks that name them, so that a receiver written for RapidBridge meets nothing new.
    pub fn is_by_default(self) -> bool {
        match self {
            Self::RunStarted
            | Self::Record
            | Self::RecordError
            | Self::RateLimited
            | Self::RunCompleted
            | Self::RunFailed => true,
            Self::RunCreated
            | Self::RunUpdated
            | Self::RunDeleted
            | Self::RunStopped
            | Self::TriggerFailed
            | Self::AccountRefused
            | Self::AccountReactivated => false,
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no event type")]
pub struct UnknownEventType(String);
