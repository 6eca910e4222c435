//! The webhooks of runs, as they are now.

use std::sync::Arc;

use crate::definition::Webhook;
use crate::delivery::{BookError, WebhookBook};
use crate::id::WebhookId;
use crate::live::{Live, LiveError};

/// The webhooks as the courier looks them up, before each send.
pub(super) struct LiveWebhooks(pub(super) Live);

impl WebhookBook for LiveWebhooks {
    async fn webhook(&self, id: &WebhookId) -> Result<Option<Arc<Webhook>>, BookError> {
        match self.0.webhook(id).await {
            Ok(webhook) => Ok(Some(webhook)),
            Err(LiveError::Missing { .. }) => Ok(None),
            Err(error) => Err(BookError(error.to_string())),
        }
    }
}
