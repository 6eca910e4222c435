//! Errors that an API tells in its own words, whatever the status says: what the integration's `error_expression` makes
//! of an answer.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::aside::aside;
use crate::clock;
use crate::definition::integration::{AnswerFormat, Method, RateLimitRule};
use crate::expression::{EvaluationError, Expression, World};
use crate::json::Json;
use crate::source::failure::Failure;
use crate::source::xml;

/// No wait is shorter: a limit that is "over now" often isn't.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// What an expression finds.
struct Told {
    message: Option<String>,
    /// What it means; without it the status says that, where it is one of an error.
    result: Option<Meaning>,
    retry_after: Option<f64>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Meaning {
    Error,
    RateLimited,
    Unauthorized,
    Transient,
    CursorRefused,
}

/// A failure that was told.
pub(super) struct Found {
    pub(super) failure: Failure,
    /// Whether the integration says what it means, so that the status doesn't matter.
    pub(super) decides: bool,
}

/// The failure that the integration's expressions find in an answer; `None` when they find none, or there are none.
pub(super) fn failure(
    method: &Method,
    rule: &RateLimitRule,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
) -> Option<Found> {
    let found = || {
        let told = error(method, status, headers, body)?;
        if told.is_some() {
            return Ok(told);
        }
        limit(method, rule, status, headers, body)
    };
    match found() {
        Ok(told) => told.map(|told| {
            let decides = told.result.is_some();
            Found { failure: meant(told, rule, status), decides }
        }),
        Err(error) => {
            let what = format!("an expression of the integration can't be evaluated: {error}; mend it");
            // The source chooses what its answers hold: what a status says can't be talked away by that.
            let decides = (200..300).contains(&status);
            Some(Found { failure: Failure::permanent("expression_failed", what), decides })
        }
    }
}

/// What `error_expression` makes of it.
fn error(
    method: &Method,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<Told>, EvaluationError> {
    let Some(expression) = &method.error_expression else { return Ok(None) };
    let value = evaluate(method, expression, status, headers, body)?;
    let value = value.filter(|value| !matches!(value.as_str(), "null" | "false" | "\"\""));
    value.map(|value| read(&value)).transpose()
}

/// Text, or an object that says more.
fn read(value: &Json) -> Result<Told, EvaluationError> {
    let words = |value: Json| Some(value.to_text().into_owned()).filter(|text| text != "null");
    if !value.as_str().starts_with('{') {
        return Ok(Told { message: words(value.clone()), result: None, retry_after: None });
    }
    let member = |name: &str| value.get(&[name.to_owned()]).filter(|value| value.as_str() != "null");
    let result = match member("result") {
        None => None,
        Some(result) => Some(serde_json::from_str(result.as_str()).map_err(|_| EvaluationError {
            message: format!(
                "error_expression gave the result {result}; it may be \"error\", \"rate_limited\", \"unauthorized\", \"transient\" or \
                 \"cursor_refused\""
            ),
        })?),
    };
    let retry_after = member("retry_after").and_then(|seconds| seconds.to_text().trim().parse().ok());
    Ok(Told { message: member("message").and_then(words), result, retry_after })
}

/// What the declared expressions about limits make of it.
fn limit(
    method: &Method,
    rule: &RateLimitRule,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<Told>, EvaluationError> {
    let Some(is_limited) = &rule.is_limited else { return Ok(None) };
    let value = evaluate(method, is_limited, status, headers, body)?;
    if value.is_none_or(|value| value.as_str() != "true") {
        return Ok(None);
    }
    let seconds = rule
        .retry_after
        .as_ref()
        .map(|seconds| evaluate(method, seconds, status, headers, body))
        .transpose()?;
    let retry_after = seconds.flatten().and_then(|seconds| seconds.to_text().parse().ok());
    Ok(Some(Told { message: None, result: Some(Meaning::RateLimited), retry_after }))
}

fn evaluate(
    method: &Method,
    expression: &Expression,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<Json>, EvaluationError> {
    let input = answer(method, status, headers, body, expression);
    aside(|| expression.evaluate(&input, &World { now: clock::now(), seed: 0 }))
}

fn meant(told: Told, rule: &RateLimitRule, status: u16) -> Failure {
    let what = match told.message {
        Some(said) => format!("the source answered {status} and told an error: {said}"),
        None => format!("the source answered {status}, which the integration declares to be an error"),
    };
    match told.result.unwrap_or(Meaning::Error) {
        Meaning::Error => Failure::permanent("error_told", what),
        Meaning::RateLimited => {
            let told = told.retry_after.filter(|seconds| *seconds > 0.0).map(f64::ceil);
            let told = told.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
            let wait = told.unwrap_or(rule.default_wait).min(rule.max_wait).max(WAIT_MIN);
            let what = format!("{what}: a rate limit; asked again in {} s", wait.as_secs());
            Failure::rate_limited(wait, "rate_limited", what)
        }
        Meaning::Unauthorized => {
            let what =
                format!("{what}: it refuses the credentials; reconnect the account, then resume the run");
            Failure::unauthorized("unauthorized", what)
        }
        Meaning::Transient => Failure::transient("error_told", format!("{what}; it may recover by itself")),
        Meaning::CursorRefused => {
            Failure::cursor_refused("cursor_refused", format!("{what}; the list starts over"))
        }
    }
}

/// What an expression sees of an answer, as far as it looks at it.
fn answer(method: &Method, status: u16, headers: &HeaderMap, body: &[u8], expression: &Expression) -> Json {
    let mut members = vec![format!("\"status\":{status}")];
    if expression.may_read("headers") {
        members.push(format!("\"headers\":{}", headers_of(headers)));
    }
    if expression.may_read("data") {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let xml = (method.answer_format == AnswerFormat::Xml).then(|| xml::to_json(body).ok()).flatten();
        let body = xml.as_deref().unwrap_or(body);
        let data = std::str::from_utf8(body).ok().and_then(|text| Json::parse(text).ok());
        members.push(format!("\"data\":{}", data.unwrap_or_else(Json::null)));
    }
    Json::parse(&format!("{{{}}}", members.join(","))).unwrap_or_else(|_| Json::empty_object())
}

/// Headers as an object; of several of a name the last one counts.
pub(super) fn headers_of(headers: &HeaderMap) -> Json {
    let pairs =
        headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    Json::of(&pairs.collect::<std::collections::BTreeMap<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seam::FetchErrorKind;
    use crate::source::testing::method;

    fn told(source: &str, status: u16, body: &str) -> Option<(FetchErrorKind, String)> {
        let error_expression = Some(Expression::parse(source).unwrap());
        let method = Method { error_expression, ..method() };
        let mut headers = HeaderMap::new();
        headers.insert("x-remaining", "0".parse().unwrap());
        let rule = RateLimitRule::default();
        let found = failure(&method, &rule, status, &headers, body.as_bytes())?;
        Some((found.failure.kind, found.failure.message))
    }

    #[test]
    fn an_expression_that_fails_talks_no_status_away() {
        let expression = Expression::parse("$contains(data.error, 'limit') ? data.error").unwrap();
        let method = Method { error_expression: Some(expression), ..method() };
        let rule = RateLimitRule::default();
        for (status, decides) in [(200, true), (401, false), (429, false), (503, false)] {
            let found =
                failure(&method, &rule, status, &HeaderMap::new(), br#"{"error":{"code":1}}"#).unwrap();
            assert_eq!((found.failure.error, found.decides), ("expression_failed", decides), "{status}");
        }
    }

    #[test]
    fn what_an_expression_finds_is_an_error() {
        let slack = "data.ok = false ? data.error";
        assert_eq!(told(slack, 200, r#"{"ok":true}"#), None);
        let (kind, message) = told(slack, 200, r#"{"ok":false,"error":"channel_not_found"}"#).unwrap();
        assert_eq!(kind, FetchErrorKind::Permanent);
        assert!(message.contains("200 and told an error: channel_not_found"), "{message}");
        assert!(
            told(slack, 200, "\u{feff}{\"ok\":false,\"error\":\"x\"}").is_some(),
            "behind a byte order mark"
        );
        assert_eq!(told(slack, 502, "<html>"), None, "what is no JSON has no data");
        assert_eq!(told(slack, 200, &"[".repeat(200_000)), None, "what is too deep has none either");
        for nothing in ["null", "false", "''", "nothing.there"] {
            assert_eq!(told(nothing, 200, "{}"), None, "{nothing}");
        }
        assert_eq!(told("$error('x')", 200, "{}").unwrap().0, FetchErrorKind::Permanent);
    }

    #[test]
    fn a_limit_may_be_told_by_expressions() {
        let expression = |source: &str| Some(Expression::parse(source).unwrap());
        let rule = RateLimitRule {
            is_limited: expression("status = 403 and headers.`x-left` = '0'"),
            retry_after: expression("$number(headers.`x-reset`)"),
            ..RateLimitRule::default()
        };
        let kind = |status, left: &str, reset: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-left", left.parse().unwrap());
            headers.insert("x-reset", reset.parse().unwrap());
            failure(&method(), &rule, status, &headers, b"").map(|found| found.failure.kind)
        };
        let limited = |seconds| Some(FetchErrorKind::RateLimited { wait: Duration::from_secs(seconds) });
        assert_eq!(kind(403, "0", "17"), limited(17));
        assert_eq!(kind(403, "0", "0"), limited(30));
        assert_eq!(kind(403, "0", "soon"), Some(FetchErrorKind::Permanent), "the expression fails");
        assert_eq!(kind(403, "1", "17"), None);
        assert_eq!(kind(200, "0", "17"), None);
    }

    #[test]
    fn what_it_means_can_be_told() {
        let kind = |source: &str| told(source, 403, r#"{"left":12.2}"#).unwrap().0;
        let limited = |seconds| FetchErrorKind::RateLimited { wait: Duration::from_secs(seconds) };
        assert_eq!(kind("headers.`x-remaining` = '0' ? {'result': 'rate_limited'}"), limited(30));
        assert_eq!(kind("{'result': 'rate_limited', 'retry_after': data.left}"), limited(13));
        assert_eq!(kind("{'result': 'rate_limited', 'retry_after': -5}"), limited(30));
        assert_eq!(kind("{'result': 'rate_limited', 'retry_after': 1e12}"), limited(3600));
        assert_eq!(kind("{'result': 'unauthorized', 'message': 'x'}"), FetchErrorKind::Unauthorized);
        assert_eq!(kind("{'result': 'transient'}"), FetchErrorKind::Transient);
        assert_eq!(kind("{'result': 'cursor_refused'}"), FetchErrorKind::CursorRefused);
        assert_eq!(kind("{'result': 'rate_limited', 'retry_after': '7', 'message': {'a': 1}}"), limited(7));
        let (_, message) = told("{'result': 'anything'}", 403, "{}").unwrap();
        assert!(message.contains("gave the result \"anything\""), "{message}");
        assert_eq!(kind("true"), FetchErrorKind::Permanent);
    }
}
