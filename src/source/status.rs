//! What an answer that is no page means: from status, headers and the beginning of the body to a failure.
//! Pure.

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION};
use url::Url;

use crate::clock::Millis;
use crate::definition::Integration;
use crate::engine::seam::Cursor;
use crate::source::failure::Failure;
use crate::source::rate_limit;

/// What a body must mention for 400, 404 or 422 to mean that the stored cursor is refused. Sources have no
/// common code for it. A wrong guess costs a restart of the list, of which the engine allows three.
const CURSOR_WORDS: &[&str] = &["cursor", "page token", "page_token", "pagetoken", "expired"];

/// An answer without a page.
pub(super) struct Answer<'a> {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its headers.
    pub(super) headers: &'a HeaderMap,
    /// The beginning of its body.
    pub(super) body: &'a [u8],
    /// The page that was asked for.
    pub(super) cursor: &'a Cursor,
    /// Where it was asked for.
    pub(super) url: &'a Url,
}

/// The failure that `answer`, received at `now`, is.
pub(super) fn failure(integration: &Integration, answer: &Answer<'_>, now: Millis) -> Failure {
    let rule = &integration.rate_limit;
    let status = answer.status;
    let reason = status.canonical_reason().unwrap_or("unknown status");
    let said = format!("the source answered {} {reason}", status.as_u16());
    if let Some(wait) = rate_limit::wait(rule, status.as_u16(), answer.headers, now) {
        let what = format!("{said}: a rate limit; asked again in {} s", wait.as_secs());
        return Failure::rate_limited(wait, reason, what);
    }
    if is_cursor_refused(answer) {
        return Failure::cursor_refused(reason, format!("{said} to a stored cursor; the list starts over"));
    }
    match status.as_u16() {
        again if integration.retry.statuses.contains(&again) => {
            Failure::transient(reason, format!("{said}, which is tried again as the integration declares"))
        }
        401 => Failure::unauthorized(
            reason,
            format!("{said}: it refuses the credentials; reconnect the account, then resume the run"),
        ),
        408 | 425 | 500..=599 => Failure::transient(reason, format!("{said}; it may recover by itself")),
        206 => Failure::permanent(reason, format!("{said}, a part of a body nobody asked a part of")),
        300..=399 => Failure::permanent(reason, format!("{said}{}", redirect(answer))),
        403 => Failure::permanent(reason, format!("{said}; check the account's permissions or scopes")),
        404 | 410 => {
            Failure::permanent(reason, format!("{said}; check base_url, the method's path and the id"))
        }
        405 => Failure::permanent(reason, format!("{said}; check the method's HTTP method")),
        400 | 422 => Failure::permanent(reason, format!("{said}; check query and body against raw_response")),
        _ => Failure::permanent(reason, format!("{said}; raw_response says more")),
    }
}

/// Whether it refuses the stored cursor: 410 always, the statuses of a bad request when the body says so.
fn is_cursor_refused(answer: &Answer<'_>) -> bool {
    if !matches!(answer.cursor, Cursor::Token(_) | Cursor::Link(_)) {
        return false;
    }
    match answer.status.as_u16() {
        410 => true,
        400 | 404 | 422 => {
            let body = String::from_utf8_lossy(answer.body).to_lowercase();
            CURSOR_WORDS.iter().any(|word| body.contains(word))
        }
        _ => false,
    }
}

/// Where a redirect leads, without the parts of an address that may hold secrets.
fn redirect(answer: &Answer<'_>) -> String {
    let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let target = location.and_then(|location| answer.url.join(location).ok());
    let target = target.map(|url| format!(" to {}{}", url.origin().ascii_serialization(), url.path()));
    format!(
        ", a redirect{}; redirects are not followed, so write the final address into base_url or path",
        target.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seam::FetchErrorKind;
    use crate::source::testing::integration;

    fn judged(status: u16, headers: &HeaderMap, body: &str, cursor: &Cursor) -> Failure {
        let url = Url::parse("https://x.example/a/b?secret=1").unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers, body: body.as_bytes(), cursor, url: &url };
        failure(&integration("https://x.example"), &answer, Millis(0))
    }

    #[test]
    fn statuses_and_what_they_ask_for() {
        use FetchErrorKind::{CursorRefused, Permanent, RateLimited, Transient, Unauthorized};
        let token = Cursor::Token("c".to_owned());
        let wait = std::time::Duration::from_secs(30);
        for (status, cursor, body, kind, again) in [
            (400, &Cursor::Start, "bad cursor", Permanent, false),
            (400, &token, "Invalid CURSOR", CursorRefused, false),
            (400, &token, "bad field", Permanent, false),
            (401, &token, "token expired", Unauthorized, false),
            (403, &token, "cursor", Permanent, false),
            (404, &token, "page token not found", CursorRefused, false),
            (404, &Cursor::Page(3), "expired", Permanent, false),
            (408, &Cursor::Start, "", Transient, true),
            (409, &Cursor::Start, "", Permanent, false),
            (410, &Cursor::Start, "", Permanent, false),
            (410, &Cursor::Link("/x".to_owned()), "", CursorRefused, false),
            (422, &token, "has expired", CursorRefused, false),
            (429, &token, "expired", RateLimited { wait }, false),
            (500, &Cursor::Start, "", Transient, true),
            (503, &Cursor::Start, "", Transient, true),
            (599, &Cursor::Start, "", Transient, true),
            (206, &Cursor::Start, "", Permanent, false),
            (302, &Cursor::Start, "", Permanent, false),
            (600, &Cursor::Start, "", Permanent, false),
        ] {
            let failure = judged(status, &HeaderMap::new(), body, cursor);
            assert_eq!((failure.kind, failure.again), (kind, again), "{status} {body}");
            assert!(failure.message.contains(&status.to_string()), "{}", failure.message);
        }
    }

    #[test]
    fn a_redirect_is_named_without_its_query() {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, "//u:p@login.example/sso?ticket=s3cret#f".parse().unwrap());
        let message = judged(302, &headers, "", &Cursor::Start).message;
        assert!(message.contains("302 Found, a redirect to https://login.example/sso;"), "{message}");
        assert!(!message.contains("s3cret") && !message.contains("u:p"), "{message}");
    }
}
