//! One try of one request: send it, read the answer, judge it. Dropping the future drops the connection.

use std::error::Error;
use std::time::Duration;

use crate::clock;
use crate::definition::Integration;
use crate::definition::integration::Method;
use crate::egress::Refused;
use crate::engine::budget::Room;
use crate::engine::seam::Page;
use crate::source::body::{Body, End};
use crate::source::failure::Failure;
use crate::source::request::Prepared;
use crate::source::{Http, body, page, status, told, witness};

/// How much of an answer that is no page is read, and how much of any answer a failure keeps.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sends `prepared` once.
pub(super) async fn send(
    http: &Http,
    integration: &Integration,
    method: &Method,
    prepared: &Prepared,
    room: &Room,
) -> Result<Page, Failure> {
    let started = clock::monotonic();
    let result = exchange(http, integration, method, prepared, room).await;
    let (status, error) = match &result {
        Ok((status, _)) => (Some(*status), None),
        Err(failure) => (failure.status, Some(failure.error)),
    };
    let page = result.as_ref().ok().map(|(_, page)| page);
    tracing::debug!(
        method = prepared.http_method.as_str(),
        path = prepared.path(),
        status,
        duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        bytes = page.map(|page| page.body.len()),
        records = page.map(|page| page.records.len()),
        error,
        "source request"
    );
    result.map(|(_, page)| page)
}

async fn exchange(
    http: &Http,
    integration: &Integration,
    method: &Method,
    prepared: &Prepared,
    room: &Room,
) -> Result<(u16, Page), Failure> {
    http.egress.check(&prepared.url).map_err(not_allowed)?;
    let bytes_max = method.page_bytes_max.min(http.page_bytes_max);
    // The client's total timeout ends with the body, not with the headers.
    let mut builder = http
        .client
        .request(prepared.http_method.clone(), prepared.url.clone())
        .headers(prepared.headers.clone())
        .timeout(prepared.timeout);
    if let Some(body) = &prepared.body {
        builder = builder.body(body.clone());
    }
    if let Some(witness) = &http.witness {
        witness.sent(&witness::sent(prepared));
    }
    let mut response = builder.send().await.map_err(|error| unreachable_source(&error, prepared.timeout))?;
    let (status, version) = (response.status(), response.version());
    let headers = std::mem::take(response.headers_mut());
    let code = status.as_u16();
    if let Some(witness) = &http.witness {
        witness.came(&witness::came(code, &headers, prepared));
    }

    if !page::is_page(method, prepared, status) || integration.rate_limit.statuses.contains(&code) {
        let Body { bytes, .. } = body::read(response, ANSWER_BYTES_MAX, room, &http.pace).await;
        let (cursor, url) = (&prepared.turn.cursor, &prepared.url);
        let answer = status::Answer { status, headers: &headers, body: &bytes, cursor, url };
        let by_status = || status::failure(integration, &answer, clock::now());
        let failure = match told::failure(method, &integration.rate_limit, code, &headers, &bytes) {
            Some(told) if told.decides => told.failure,
            // Only words: what the status means stays what it is.
            Some(told) => {
                let by_status = by_status();
                let message = format!("{} ({})", by_status.message, told.failure.message);
                Failure { message, ..by_status }
            }
            None => by_status(),
        };
        return Err(failure.answered(code, &bytes));
    }
    let Body { bytes, end } = body::read(response, bytes_max, room, &http.pace).await;
    let result = match end {
        End::Complete => {
            let is_delimited = body::is_delimited(version, &headers);
            let told = told::failure(method, &integration.rate_limit, code, &headers, &bytes);
            let read = match told {
                Some(told) => Err(told.failure),
                None => page::read(method, prepared, status, &headers, bytes.clone()),
            };
            read.map_err(|failure| if is_delimited { failure } else { failure.maybe_cut_off() })
        }
        End::TooLarge => Err(too_large(bytes_max)),
        End::NoRoom => Err(Failure::no_room()),
        End::Broken(error) => Err(unreachable_source(&error, prepared.timeout)),
    };
    let beginning = &bytes[..bytes.len().min(ANSWER_BYTES_MAX)];
    result.map(|page| (code, page)).map_err(|failure| failure.answered(code, beginning))
}

fn too_large(max: usize) -> Failure {
    let what = format!(
        "the page is larger than {max} bytes; ask for smaller pages, or raise the method's page_bytes_max and the \
         setting limits.page_bytes_max"
    );
    Failure::permanent("page_too_large", what)
}

fn not_allowed(refused: Refused) -> Failure {
    Failure::permanent("destination_not_allowed", refused.to_string())
}

/// No answer, or one that broke off. The client's own words are not used: they hold the whole URL.
fn unreachable_source(error: &reqwest::Error, timeout: Duration) -> Failure {
    if let Some(refused) = Refused::behind(error) {
        return not_allowed(refused);
    }
    if error.is_timeout() {
        let what = format!(
            "no complete answer within {} ms; the source is slow, or the timeout (of the method, or the job's node) is too short",
            timeout.as_millis()
        );
        return Failure::transient("timeout", what);
    }
    let cause = innermost_cause(error);
    if error.is_connect() {
        let what = format!("the source can't be reached: {cause}; check base_url if this goes on");
        Failure::transient("connect_failed", what)
    } else if error.is_builder() {
        Failure::permanent("invalid_request", format!("the request can't be sent: {cause}"))
    } else {
        Failure::transient("broken_answer", format!("the answer broke off or is damaged: {cause}"))
    }
}

fn innermost_cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(Error::source) {
        cause = Some(inner);
    }
    cause.map_or_else(|| "no cause known".to_owned(), ToString::to_string)
}
