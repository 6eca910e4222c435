//! Requests for resources of unified models: made into requests for the integration's own, and the records of their
//! pages into records of the model.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::aside::aside;
use crate::definition::Account;
use crate::definition::integration::{Method, Pagination, SendIn};
use crate::definition::job::ResponseFormat;
use crate::definition::unified::{LIMIT, Mapped, Mapping, REMOTE_QUERY};
use crate::engine::budget::Room;
use crate::engine::seam::{Cursor, FetchRequest, Page};
use crate::expression::{Expression, World};
use crate::json::{self, Json};
use crate::source::failure::Failure;

/// What a record was made from.
const REMOTE_DATA: &str = "remote_data";

/// A mapping at work for one request.
pub(super) struct Unified<'r> {
    mapping: &'r Mapping,
    asked: &'r FetchRequest,
    account: &'r Account,
    /// The request for the integration's own method.
    pub(super) request: FetchRequest,
}

impl<'r> Unified<'r> {
    /// What `asked` is by `mapping`, which leads to `method`.
    ///
    /// # Errors
    /// When an expression of the mapping fails, or the query has what it doesn't take.
    pub(super) fn of(
        mapping: &'r Mapping,
        asked: &'r FetchRequest,
        account: &'r Account,
    ) -> Result<Self, Failure> {
        check_query(mapping, &asked.query)?;
        check_body(mapping, asked.body.as_ref())?;
        let input = Input { asked, account, query: &asked.query, own: None };
        let make = |mapped: &Option<Mapped>, what| {
            let Some(mapped) = mapped else { return Ok(None) };
            let made = input.evaluate(&mapped.expression, None, 0).map_err(|error| failed(what, &error))?;
            match made {
                Some(made) if made.as_str().starts_with('{') => Ok(Some(made)),
                None => Ok(None),
                Some(_) => Err(failed(what, "it gave something else than an object")),
            }
        };
        let query = make(&mapping.query, "query_mapping")?.unwrap_or_else(Json::empty_object);
        let query = match asked.query.get(&[REMOTE_QUERY]) {
            Some(more) => json::merged(query.as_str(), more.as_str()),
            None => query,
        };
        let body = make(&mapping.body, "request_body_mapping")?;
        let request = FetchRequest {
            resource: mapping.resource.clone(),
            method: mapping.method.clone(),
            query,
            body: if mapping.body.is_some() { body } else { asked.body.clone() },
            page_size: asked.page_size.or_else(|| page_size(mapping, &asked.query)),
            ..asked.clone()
        };
        Ok(Self { mapping, asked, account, request })
    }

    /// The page with the model's records in place of the source's. What the filter doesn't want, and what the mapping makes
    /// nothing of, is left out.
    ///
    /// # Errors
    /// When the mapping fails for a record, makes something else than an object of it, or there is no room for them.
    pub(super) fn page(&self, page: Page, bytes_max: usize, room: &Room) -> Result<Page, Mistake> {
        let next = page.next.clone();
        let made = aside(|| self.mapped(page, bytes_max));
        let page = made.map_err(|failure| Mistake { failure, next: next.clone() })?;
        if !room.grow(page.body.len()) {
            return Err(Mistake { failure: Failure::no_room(), next });
        }
        Ok(page)
    }

    fn mapped(&self, mut page: Page, bytes_max: usize) -> Result<Page, Failure> {
        let input = Input {
            asked: self.asked,
            account: self.account,
            query: &self.request.query,
            own: self.request.body.as_ref(),
        };
        if let Some(filter) = &self.mapping.filter {
            page.records = wanted(filter, &input, &page)?;
        }
        let Some(mapped) = &self.mapping.response else { return Ok(page) };
        let body = match (self.mapping.whole_page, self.asked.format) {
            // Such a page doesn't say which of its records was made of which.
            (true, ResponseFormat::Raw) => return Ok(page),
            (true, ResponseFormat::Unified | ResponseFormat::Normalized) => at_once(mapped, &input, &page)?,
            (false, format) => {
                one_by_one(mapped, &input, &page, format != ResponseFormat::Normalized, bytes_max)?
            }
        };
        if body.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        let records =
            json::elements(&body).map_err(|error| failed("response_mapping", &error.to_string()))?;
        Ok(Page { body: Bytes::from(body), records, ..page })
    }
}

/// The records for which `filter` is true.
fn wanted(filter: &Expression, input: &Input<'_>, page: &Page) -> Result<Vec<Range<usize>>, Failure> {
    let mut records = Vec::with_capacity(page.records.len());
    for (at, range) in page.records.iter().enumerate() {
        let is_wanted = input.is_true(filter, page.record(at), at);
        if is_wanted.map_err(|error| failed(&format!("response_filter of record {at}"), &error))? {
            records.push(range.clone());
        }
    }
    Ok(records)
}

/// What the mapping makes of all records together.
fn at_once(mapped: &Mapped, input: &Input<'_>, page: &Page) -> Result<String, Failure> {
    let all = (0..page.records.len()).map(|at| page.record(at)).collect::<Vec<_>>().join(",");
    let made = input.evaluate(&mapped.expression, Some(&format!("[{all}]")), 0);
    match made.map_err(|error| failed("response_mapping", &error))? {
        None => Ok("[]".to_owned()),
        Some(made) if made.as_str().starts_with('[') => Ok(made.as_str().to_owned()),
        Some(made) if made.as_str().starts_with('{') => Ok(format!("[{made}]")),
        Some(_) => Err(failed("response_mapping", "it gave something else than a list of objects")),
    }
}

/// What it makes of each.
fn one_by_one(
    mapped: &Mapped,
    input: &Input<'_>,
    page: &Page,
    with_remote_data: bool,
    bytes_max: usize,
) -> Result<String, Failure> {
    let mut list = "[".to_owned();
    for at in 0..page.records.len() {
        let record = page.record(at);
        let name = || format!("response_mapping of record {at} of the page");
        let made = input.evaluate(&mapped.expression, Some(record), at);
        let made = made.map_err(|error| failed(&name(), &error))?;
        let Some(made) = made.filter(|made| made.as_str() != "null") else { continue };
        let Some(open) = made.as_str().strip_suffix('}').filter(|text| text.starts_with('{')) else {
            return Err(failed(&name(), "it gave something else than an object"));
        };
        let separator = if list.len() > 1 { "," } else { "" };
        list += separator;
        list += open;
        if with_remote_data && made.get(&[REMOTE_DATA]).is_none() {
            let separator = if open.len() > 1 { "," } else { "" };
            // Formatting into a text can't fail.
            let _ = write!(list, "{separator}\"{REMOTE_DATA}\":{record}");
        }
        list.push('}');
        if list.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
    }
    list.push(']');
    Ok(list)
}

fn too_large(bytes_max: usize) -> Failure {
    let what = format!(
        "the page's records are longer than {bytes_max} bytes when they are mapped; ask for smaller pages, or raise the \
         method's page_bytes_max and the setting limits.page_bytes_max"
    );
    Failure::permanent("page_too_large", what)
}

/// Why a page could not be mapped, and where the list goes on without it.
pub(super) struct Mistake {
    pub(super) failure: Failure,
    pub(super) next: Option<Cursor>,
}

/// How many records a page should have: what `query` asks for, in the words of the method's pagination.
pub(super) fn with_page_size<'r>(method: &Method, request: &'r FetchRequest) -> Cow<'r, FetchRequest> {
    let mut request = Cow::Borrowed(request);
    if let (Some(size), Some(limit)) = (request.page_size, method.pagination.limit()) {
        let size = serde_json::json!(size.clamp(1, limit.value));
        let is_in_body =
            matches!(&method.pagination, Pagination::Cursor(rule) if rule.send_in == SendIn::Body);
        if is_in_body {
            // There its name is a path.
            let one = |inner, name: &str| serde_json::json!({ name: inner });
            let own = Json::of(&limit.param.rsplit('.').fold(size, one));
            let body = request.body.as_ref().map_or("{}", Json::as_str);
            request.to_mut().body = Some(json::merged(body, own.as_str()));
        } else {
            let own = Json::of(&serde_json::json!({ limit.param.as_str(): size }));
            request.to_mut().query = json::merged(request.query.as_str(), own.as_str());
        }
    }
    request
}

/// What expressions see.
struct Input<'i> {
    asked: &'i FetchRequest,
    account: &'i Account,
    /// As it was asked, or as it was sent.
    query: &'i Json,
    /// The body as it was sent.
    own: Option<&'i Json>,
}

impl Input<'_> {
    fn evaluate(
        &self,
        expression: &Expression,
        response: Option<&str>,
        at: usize,
    ) -> Result<Option<Json>, String> {
        let input = self.seen(expression, response)?;
        expression.evaluate(&input, &self.world(at)).map_err(|error| error.message)
    }

    fn is_true(&self, expression: &Expression, response: &str, at: usize) -> Result<bool, String> {
        let input = self.seen(expression, Some(response))?;
        expression.is_true(&input, &self.world(at)).map_err(|error| error.message)
    }

    /// The time that the request has, and chance that is drawn from it: the same for the same page, and for no other.
    fn world(&self, at: usize) -> World {
        let FetchRequest { resource, method, id, query, body, cursor, seed, now, .. } = self.asked;
        let drawn_from =
            (self.account.id.as_str(), resource, method, id, query, body, cursor, seed, now.0, at);
        // Not the library's hash: another build may have another one, and another worker goes on with the run.
        let digest = Sha256::digest(Json::of(&drawn_from).as_str().as_bytes());
        let seed = digest[..8].iter().fold(0u64, |all, byte| (all << 8) | u64::from(*byte));
        World { now: *now, seed }
    }

    /// What an expression sees.
    fn seen(&self, expression: &Expression, response: Option<&str>) -> Result<Json, String> {
        let id = self.asked.id.as_deref().map(Json::string);
        let body = self.own.or(self.asked.body.as_ref());
        let context = self.asked.context.as_ref().unwrap_or(&self.account.context);
        let response = response.map(kept_exactly);
        let members = [
            ("response", response.as_deref()),
            ("query", Some(self.query.as_str())),
            ("rawQuery", Some(self.asked.query.as_str())),
            ("context", Some(context.as_str())),
            ("id", id.as_ref().map(Json::as_str)),
            ("body", body.map(Json::as_str)),
        ];
        let mut text = "{".to_owned();
        for (name, value) in members {
            // What it doesn't read need not be copied for each record.
            if let Some(value) = value.filter(|_| expression.may_read(name)) {
                let separator = if text.len() > 1 { "," } else { "" };
                // Formatting into a text can't fail.
                let _ = write!(text, "{separator}\"{name}\":{value}");
            }
        }
        text.push('}');
        Json::parse(&text).map_err(|error| error.to_string())
    }
}

/// A record with whole numbers as text where expressions, whose numbers are doubles, would change them: ids that are many
/// become one otherwise.
fn kept_exactly(record: &str) -> Cow<'_, str> {
    const DIGITS_EXACT: usize = 15;
    let (bytes, mut kept, mut from, mut at) = (record.as_bytes(), String::new(), 0, 0);
    let mut is_text = false;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if is_text => at += 1,
            b'"' => is_text = !is_text,
            b'-' | b'0'..=b'9' if !is_text => {
                let number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let end = at + bytes[at..].iter().take_while(|byte| number(byte)).count();
                let digits = record[at..end].trim_start_matches('-');
                let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit());
                if is_whole && digits.len() > DIGITS_EXACT {
                    kept.push_str(&record[from..at]);
                    kept.push('"');
                    kept.push_str(&record[at..end]);
                    kept.push('"');
                    from = end;
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    if from == 0 {
        return Cow::Borrowed(record);
    }
    kept.push_str(&record[from..]);
    Cow::Owned(kept)
}

/// What the query says of the page's size, unless that is the mapping's business.
fn page_size(mapping: &Mapping, query: &Json) -> Option<u64> {
    mapping.filters().filter(|known| !known.iter().any(|name| name == LIMIT))?;
    query.get(&[LIMIT])?.to_text().parse().ok()
}

/// A filter that the mapping passes over would be a list that nobody asked for.
fn check_query(mapping: &Mapping, query: &Json) -> Result<(), Failure> {
    let value = serde_json::from_str(query.as_str()).unwrap_or_default();
    let Some(path) = mapping.passed_over(&value) else { return Ok(()) };
    let takes: Vec<String> = mapping.takes().into_iter().flatten().map(|path| path.join(".")).collect();
    let takes = if takes.is_empty() { "nothing".to_owned() } else { takes.join(", ") };
    let what = format!(
        "the mapping takes no {} (it takes {takes}); add it to query_mapping, or write the source's own parameters in \
         {REMOTE_QUERY}",
        path.join(".")
    );
    Err(Failure::permanent("unmapped_query", what))
}

/// What is written and passed over would look as if it were there.
fn check_body(mapping: &Mapping, body: Option<&Json>) -> Result<(), Failure> {
    let value = body.and_then(|body| serde_json::from_str(body.as_str()).ok()).unwrap_or_default();
    let Some(path) = mapping.passed_over_of_body(&value) else { return Ok(()) };
    let what = format!(
        "the mapping takes no {} of a body; add it to request_body_mapping, or leave it out",
        path.join(".")
    );
    Err(Failure::permanent("unmapped_body", what))
}

fn failed(what: &str, error: &str) -> Failure {
    Failure::permanent("mapping_failed", format!("{what}: {error}; mend the mapping"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_that_a_double_changes_become_text() {
        for (record, kept) in [
            (
                r#"{"id":9007199254740993001,"a":[-12345678901234567890,1],"t":"12345678901234567890 \\" 1"}"#,
                r#"{"id":"9007199254740993001","a":["-12345678901234567890",1],"t":"12345678901234567890 \\" 1"}"#,
            ),
            (
                r#"{"n":999999999999999,"d":1.23456789012345678901,"e":1e400}"#,
                r#"{"n":999999999999999,"d":1.23456789012345678901,"e":1e400}"#,
            ),
        ] {
            assert_eq!(kept_exactly(record), kept);
        }
    }
}
