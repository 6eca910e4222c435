//! A trigger: a schedule that creates runs.

use std::collections::BTreeSet;
use std::time::Duration;

use super::check::{Checker, Fields, Spot};
use super::document::Document;
use super::job::ErrorHandling;
use super::problem::Problems;
use super::webhook::EventType;
use crate::id::{AccountId, JobId, TriggerId, WebhookId};
use crate::json::Json;
use crate::schedule::{CATCH_UP_MAX, CatchUp, CronError, Overlap, Schedule, ScheduleError};

/// A checked trigger.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// The trigger's id.
    pub id: TriggerId,
    /// The job its runs execute.
    pub job: JobId,
    /// The account its runs read from.
    pub account: AccountId,
    /// Where its runs deliver, besides the destinations of the job.
    pub webhook: Option<WebhookId>,
    /// When it is due.
    pub schedule: Schedule,
    /// The most a slot is delayed, by a hash of (trigger, slot); never brings it forward.
    pub jitter: Duration,
    /// Whether it fires at all.
    pub enabled: bool,
    /// What happens when a slot comes while a run of this trigger has not ended.
    pub overlap: Overlap,
    /// What happens to slots that were missed.
    pub catch_up: CatchUp,
    /// The most missed slots that `CatchUp::All` makes up for.
    pub catch_up_limit: u32,
    /// Arguments of its runs; a JSON object.
    pub args: Json,
    /// Overrides the job's.
    pub error_handling: Option<ErrorHandling>,
    /// The events that its runs send, of those that their webhooks take; all of them, if nothing is said.
    pub events_to_send: Option<BTreeSet<EventType>>,
}

/// The most missed slots that `catch_up: all` makes up for when the trigger doesn't say.
pub const CATCH_UP_LIMIT_DEFAULT: u32 = 10;
/// The most that a trigger may delay its slots.
pub const JITTER_MAX: Duration = Duration::from_secs(24 * 3600);

impl Trigger {
    /// The trigger that `document` describes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_document(document: &Document) -> Result<Self, Problems> {
        Checker::run(document, read)
    }
}

fn read(root: &Spot<'_>) -> Option<Trigger> {
    let fields = root.fields()?;
    fields.ignore(super::BOOKKEEPING);
    fields.ignore(&["label", "description", "meta", "resources"]);
    fields.not_yet(
        &["daemon_group_key", "super_query", "ignore_previous_run", "mutex_key", "state_key"],
        "leave it out",
    );
    let id = fields.required("id").and_then(|spot| spot.parsed());
    let job = fields.required("sync_job_id").and_then(|spot| spot.parsed());
    let account = fields.required("integrated_account_id").and_then(|spot| spot.parsed());
    let webhook = fields.maybe("webhook_id", |spot| spot.parsed());
    let schedule = schedule(&fields);
    let jitter = fields.or("jitter", Duration::ZERO, |spot| spot.duration(Duration::ZERO..=JITTER_MAX));
    let enabled = fields.or("enabled", true, Spot::boolean);
    let overlap = fields.or("overlap", Overlap::default(), |spot| {
        spot.choice(&[("skip", Overlap::Skip), ("queue", Overlap::Queue), ("allow", Overlap::Allow)])
    });
    let catch_up = fields.or("catch_up", CatchUp::default(), |spot| {
        spot.choice(&[("latest", CatchUp::Latest), ("all", CatchUp::All), ("none", CatchUp::None)])
    });
    let catch_up_limit =
        fields.or("catch_up_limit", CATCH_UP_LIMIT_DEFAULT, |spot| spot.whole(1..=CATCH_UP_MAX));
    let args = fields.or("args", Json::empty_object(), Spot::json_object);
    let error_handling = fields.maybe("error_handling", ErrorHandling::read);
    let events_to_send = fields.maybe("events_to_send", super::webhook::read::events_of_runs);
    fields.finish();
    Some(Trigger {
        id: id?,
        job: job?,
        account: account?,
        webhook: webhook?,
        schedule: schedule?,
        jitter: jitter?,
        enabled: enabled?,
        overlap: overlap?,
        catch_up: catch_up?,
        catch_up_limit: catch_up_limit?,
        args: args?,
        error_handling: error_handling?,
        events_to_send: events_to_send?,
    })
}

/// `cron_expression` with its `timezone`, or `every`.
fn schedule(fields: &Fields<'_>) -> Option<Schedule> {
    let cron = fields.get("cron_expression");
    let every = fields.get("every");
    let timezone = fields.maybe("timezone", Spot::filled);
    match (cron, every) {
        (Some(_), Some(every)) => {
            every.problem_of_key("cron_expression and every can't both be written", Some("keep one of them"));
            None
        }
        (None, None) => {
            fields.missing(
                "cron_expression or every",
                Some("cron_expression: \"0 */6 * * *\" or every: 15m says when runs are due"),
            );
            None
        }
        (Some(cron), None) => {
            let (expression, timezone) = (cron.filled()?, timezone?);
            let report = |error: ScheduleError| {
                let zone = matches!(error, ScheduleError::Cron(CronError::Timezone { .. }));
                let spot = fields.get("timezone").filter(|_| zone).unwrap_or(cron);
                spot.problem(&error.to_string(), None);
            };
            Schedule::cron(expression, timezone).map_err(report).ok()
        }
        (None, Some(every)) => {
            if let Some(timezone) = fields.get("timezone") {
                let hint = "leave it out, or use cron_expression";
                timezone.problem_of_key("an interval has no time zone", Some(hint));
            }
            let interval = every.duration(Duration::ZERO..=Duration::MAX)?;
            Schedule::every(interval).map_err(|error| every.problem(&error.to_string(), None)).ok()
        }
    }
}
