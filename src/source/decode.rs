//! From a body to records: checks that it is what it claims to be, and finds the records in it as slices. No
//! answer that can't be understood becomes an empty page.

use std::ops::Range;

use bytes::{Buf, Bytes};
use reqwest::header::{CONTENT_TYPE, HeaderMap};

use crate::definition::integration::{AnswerFormat, Method, Pagination};
use crate::json;
use crate::source::failure::Failure;

/// The deepest nesting that is passed on: many receivers' parsers refuse, or crash on, more.
const DEPTH_MAX: usize = 128;

/// Refuses an answer that says it is something else than JSON, or a page for people where lines are expected, whose
/// types vary. A proxy's or login page often comes with a 200.
pub(super) fn check_content_type(format: AnswerFormat, headers: &HeaderMap) -> Result<(), Failure> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let value = String::from_utf8_lossy(value.as_bytes());
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = essence.split_once('/').map_or("", |(_, subtype)| subtype);
    let is_page = matches!(essence.as_str(), "text/html" | "application/xhtml+xml");
    let is_json = essence.is_empty() || subtype == "json" || subtype.ends_with("+json");
    let is_expected = match format {
        AnswerFormat::Json => is_json,
        AnswerFormat::NdJson => !is_page,
        AnswerFormat::Xml => !is_page && (!is_json || essence.is_empty()),
        // JSON in place of CSV is what an error looks like, and would be a first line that names members.
        AnswerFormat::Csv => !is_page && (!is_json || essence.is_empty()),
    };
    if is_expected {
        return Ok(());
    }
    let what = format!(
        "the answer is {essence:?}, not what api_response_format says: perhaps a login page, a proxy's page, or not the API; \
         check base_url, path and the accept header"
    );
    // A page for people in place of an API's answer is how proxies and hosts say that they are in trouble.
    if is_page {
        return Err(Failure::transient("unexpected_content_type", what));
    }
    Err(Failure::broken("unexpected_content_type", what))
}

/// The body without the byte order mark that some sources put before it; JSON must not have one.
pub(super) fn without_mark(mut body: Bytes) -> Bytes {
    if body.starts_with(b"\xef\xbb\xbf") {
        body.advance(3);
    }
    body
}

/// The body as text, if it is UTF-8 and not nested too deep.
pub(super) fn text(body: &[u8]) -> Result<&str, Failure> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let what =
            format!("the body is no UTF-8 at byte {}; the source must send UTF-8", error.valid_up_to());
        // A character whose other bytes are missing at the very end.
        let ends_early = error.error_len().is_none();
        Failure { ends_early, ..Failure::broken("invalid_utf8", what) }
    })?;
    let depth = json::depth(body);
    if depth > DEPTH_MAX {
        let what = format!("the body is nested {depth} levels deep; at most {DEPTH_MAX} are passed on");
        return Err(Failure::permanent("too_deep", what));
    }
    Ok(text)
}

/// A parser's error as a failure, with the place.
pub(super) fn invalid_json(text: &str, error: &serde_json::Error) -> Failure {
    let line_start: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let offset = (line_start + error.column()).min(text.len());
    let what =
        format!("the body is no valid JSON at byte {offset} of {}: {}", text.len(), json::explain(error));
    Failure { ends_early: error.is_eof(), ..Failure::broken("invalid_json", what) }
}

/// Where each record lies in `text`. `found` is the slice of it at the method's `response_path`.
pub(super) fn records(
    text: &str,
    found: Option<&str>,
    method: &Method,
) -> Result<Vec<Range<usize>>, Failure> {
    let place = || match method.response_path.as_slice() {
        [] => "the body".to_owned(),
        path => format!("response_path {:?}", path.join(".")),
    };
    let Some(found) = found.filter(|value| *value != "null") else {
        // In XML an empty list has nothing at its path; that what stands around it is there tells it from another document.
        let around = method.response_path.split_last().map_or(&[][..], |(_, around)| around);
        let is_other = method.answer_format == AnswerFormat::Xml && json::get(text, around).is_none();
        if method.missing_is_empty && !is_other {
            return Ok(Vec::new());
        }
        let what = format!(
            "{} holds nothing; check it against the answer, or set missing_response_path: empty if that means an empty list",
            place()
        );
        return Err(Failure::broken("missing_records", what));
    };
    let whole = json::range_within(text, found);
    // In XML a list of one is an element alone.
    let may_be_one = method.pagination == Pagination::None || method.answer_format == AnswerFormat::Xml;
    let is_text_alone = method.answer_format == AnswerFormat::Xml && found.starts_with('"');
    if (found.starts_with('{') && may_be_one) || is_text_alone {
        return Ok(vec![whole]);
    }
    if !found.starts_with('[') {
        let what = format!("{} is no array; set response_path to where the records are", place());
        return Err(Failure::broken("records_not_a_list", what));
    }
    let elements = json::elements(found).map_err(|error| invalid_json(text, &error))?;
    if elements.len() > method.page_records_max {
        let what = format!(
            "the page holds {} records, more than page_records_max ({}); ask for smaller pages or raise it",
            elements.len(),
            method.page_records_max
        );
        return Err(Failure::permanent("too_many_records", what));
    }
    Ok(elements.into_iter().map(|range| range.start + whole.start..range.end + whole.start).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::select::select;
    use crate::source::testing::method;

    fn decode<'t>(text: &'t str, path: &str, change: impl Fn(&mut Method)) -> Result<Vec<&'t str>, String> {
        let mut method = method();
        method.response_path = path.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect();
        change(&mut method);
        let found = select(text, &[&method.response_path]).map_err(|e| invalid_json(text, &e).message)?;
        let ranges = records(text, found[0], &method).map_err(|failure| failure.error.to_owned())?;
        Ok(ranges.into_iter().map(|range| &text[range]).collect())
    }

    fn as_list(method: &mut Method) {
        method.pagination = Pagination::LinkHeader { limit: None };
    }

    #[test]
    fn records_stay_what_they_were() {
        let record =
            r#"{"id":12345678901234567890123,"price":1.10,"e":1E400,"a":1,"a":2,"s":"\ud800\u00e9"}"#;
        let text = format!(r#"{{"n":1, "data":{{"items":[ {record} , "x",null]}}}}"#);
        assert_eq!(decode(&text, "data.items", as_list).unwrap(), [record, "\"x\"", "null"]);
        assert_eq!(decode(" [1, 2] ", "", as_list).unwrap(), ["1", "2"]);
        assert_eq!(decode("[]", "", as_list).unwrap(), [""; 0]);
    }

    #[test]
    fn one_object_is_a_record_only_without_pagination() {
        assert_eq!(decode(r#"{"ticket":{"id":1}}"#, "ticket", |_| ()).unwrap(), [r#"{"id":1}"#]);
        assert_eq!(decode(r#"{"id":1}"#, "", |_| ()).unwrap(), [r#"{"id":1}"#]);
        assert_eq!(decode("[1]", "", |_| ()).unwrap(), ["1"]);
        assert_eq!(decode(r#"{"id":1}"#, "", as_list).unwrap_err(), "records_not_a_list");
        assert_eq!(decode("3", "", |_| ()).unwrap_err(), "records_not_a_list");
    }

    #[test]
    fn missing_records_are_an_error_unless_declared() {
        let empty = |method: &mut Method| method.missing_is_empty = true;
        for text in ["{}", r#"{"data":null}"#, r#"{"error":"no"}"#] {
            assert_eq!(decode(text, "data", as_list).unwrap_err(), "missing_records", "{text}");
            assert_eq!(decode(text, "data", empty).unwrap(), [""; 0], "{text}");
        }
        assert_eq!(decode("[1,2,3]", "", |m| m.page_records_max = 2).unwrap_err(), "too_many_records");
    }

    #[test]
    fn invalid_json_names_its_place() {
        let message = decode("{\"a\":1,\n \"b\":01}", "a", |_| ()).unwrap_err();
        assert!(message.contains("at byte 15 of 16"), "{message}");
    }

    #[test]
    fn text_is_checked() {
        assert_eq!(without_mark(Bytes::from_static(b"\xef\xbb\xbf[1]")), "[1]");
        let error = |body: &[u8]| text(body).map_err(|failure| failure.error).err();
        assert_eq!(error(b"\xff\xfe[\0"), Some("invalid_utf8"));
        assert_eq!(error("[".repeat(129).as_bytes()), Some("too_deep"));
        assert_eq!(error("[".repeat(128).as_bytes()), None);
    }

    #[test]
    fn content_types() {
        for (value, ok) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/vnd.api+json", true),
            ("text/json", true),
            ("", true),
            ("text/html; charset=utf-8", false),
            ("text/plain", false),
            ("application/jsonp", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(check_content_type(AnswerFormat::Json, &headers).is_ok(), ok, "{value}");
        }
        assert!(check_content_type(AnswerFormat::Json, &HeaderMap::new()).is_ok());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "text/plain".parse().unwrap());
        assert!(check_content_type(AnswerFormat::Csv, &headers).is_ok());
        for (format, value) in [
            (AnswerFormat::Csv, "text/html"),
            (AnswerFormat::NdJson, "text/html"),
            (AnswerFormat::Csv, "application/json"),
        ] {
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            assert!(check_content_type(format, &headers).is_err(), "{value}");
        }
    }
}
