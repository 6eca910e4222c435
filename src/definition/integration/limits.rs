//! Retries and rate limits.

use std::time::Duration;

use super::{RateLimitRule, RequestBudget, ResetHeader, ResetUnit, RetryPolicy};
use crate::definition::check::{Fields, Spot};
use crate::definition::headers;

const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
const OUTAGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) fn retry(spot: &Spot<'_>) -> Option<RetryPolicy> {
    let fields = spot.fields()?;
    let default = RetryPolicy::default();
    let wait =
        |name, default| fields.or(name, default, |spot| spot.duration(Duration::from_millis(1)..=WAIT_MAX));
    let attempts = fields.or("attempts", default.attempts, |spot| spot.whole(1..=10));
    let (base, max) = (wait("base", default.base), wait("max", default.max));
    let outage_budget =
        fields.or("outage_budget", default.outage_budget, |spot| spot.duration(Duration::ZERO..=OUTAGE_MAX));
    let statuses = fields.or("statuses", Vec::new(), statuses);
    fields.finish();
    let retry = RetryPolicy {
        attempts: attempts?,
        base: base?,
        max: max?,
        outage_budget: outage_budget?,
        statuses: statuses?,
    };
    if retry.base > retry.max {
        spot.problem("the first wait is longer than the longest one", Some("base ≤ max"));
        return None;
    }
    Some(retry)
}

pub(super) fn rate_limit(spot: &Spot<'_>) -> Option<RateLimitRule> {
    let fields = spot.fields()?;
    fields.not_yet(&["rate_limit_header_expression"], "what is left of a limit is not shown to anybody");
    let default = RateLimitRule::default();
    let second = Duration::from_secs(1);
    let statuses = fields.or("statuses", default.statuses, statuses);
    let reset_header = reset_header(&fields);
    let is_limited = fields.maybe("is_rate_limited", Spot::expression);
    let retry_after = fields.maybe("retry_after_header_expression", Spot::expression);
    let budget = budget(&fields);
    let of_application =
        fields.or("scope", false, |spot| spot.choice(&[("account", false), ("application", true)]));
    let max_wait = fields.or("max_wait", default.max_wait, |spot| spot.duration(second..=WAIT_MAX));
    let default_wait =
        fields.or("default_wait", default.default_wait, |spot| spot.duration(second..=WAIT_MAX));
    fields.finish();
    let rule = RateLimitRule {
        statuses: statuses?,
        reset_header: reset_header?,
        is_limited: is_limited?,
        retry_after: retry_after?,
        budget: budget?,
        of_application: of_application?,
        default_wait: default_wait?,
        max_wait: max_wait?,
    };
    if rule.default_wait > rule.max_wait {
        spot.problem("the default wait is longer than the longest one", Some("default_wait ≤ max_wait"));
        return None;
    }
    Some(rule)
}

fn budget(fields: &Fields<'_>) -> Option<Option<RequestBudget>> {
    match (fields.get("requests"), fields.get("per")) {
        (None, None) => Some(None),
        (Some(requests), Some(per)) => {
            let requests = requests.whole(1..=1_000_000);
            let per = per.duration(Duration::from_secs(1)..=WAIT_MAX);
            Some(Some(RequestBudget { requests: requests?, per: per? }))
        }
        (Some(_), None) => {
            fields.missing("per", Some("so many requests in which time? per: 1m"));
            None
        }
        (None, Some(_)) => {
            fields.missing("requests", Some("how many requests in that time?"));
            None
        }
    }
}

pub(super) fn statuses(spot: &Spot<'_>) -> Option<Vec<u16>> {
    let spots = spot.list()?;
    if spots.is_empty() {
        spot.problem("this must not be empty", Some("429 is what sources usually send"));
        return None;
    }
    let read: Vec<Option<u16>> = spots.iter().map(|spot| spot.whole(400..=599)).collect();
    read.into_iter().collect()
}

fn reset_header(fields: &Fields<'_>) -> Option<Option<ResetHeader>> {
    let units = [
        ("epoch_seconds", ResetUnit::EpochSeconds),
        ("epoch_millis", ResetUnit::EpochMillis),
        ("delta_seconds", ResetUnit::DeltaSeconds),
    ];
    let unit = fields.get("reset_unit");
    let Some(name) = fields.get("reset_header") else {
        if let Some(unit) = unit {
            unit.problem_of_key("reset_unit means nothing without reset_header", None);
            return None;
        }
        return Some(None);
    };
    let Some(unit) = unit else {
        fields.missing("reset_unit", Some("is reset_header epoch_seconds, epoch_millis or delta_seconds?"));
        return None;
    };
    let (text, unit) = (name.filled()?.to_ascii_lowercase(), unit.choice(&units)?);
    // Any header may be read, so only the form of its name matters.
    if headers::refusal(&text).is_some_and(|_| text.contains(|c: char| c.is_whitespace() || c == ':')) {
        name.problem("this is no header's name", None);
        return None;
    }
    Some(Some(ResetHeader { name: text, unit }))
}
