//! How lists continue, in Truto's words: `format` and `config`.

use super::{CursorPagination, CursorSource, Limit, PAGE_LIMIT_DEFAULT, Pagination, SendIn};
use crate::definition::check::{Fields, Spot};

/// Parameters of Truto's cursor pagination that change what happens and can't yet.
const CURSOR_NOT_YET: [&str; 7] = [
    "include_path",
    "headers",
    "use_content_hash",
    "is_cursor_url_encoded",
    "allow_empty_page_cursor",
    "ignore_limit_in_pagination",
    "range_unit",
];

pub(super) fn read(spot: &Spot<'_>) -> Option<Pagination> {
    let fields = spot.fields()?.unwrapped("config")?;
    let format = fields.required("format")?;
    let read = match format.text()? {
        "none" => Some(Pagination::None),
        "cursor" => cursor(&fields),
        "page" => page(&fields),
        "offset" => offset(&fields),
        "link_header" => limit(&fields, None).map(|limit| Pagination::LinkHeader { limit }),
        "range" | "dynamic" => {
            let hint = "cursor, page, offset, link_header and none are";
            format.problem("this pagination is not supported yet", Some(hint));
            return None;
        }
        other => {
            format.not_one_of(other, &["cursor", "page", "offset", "link_header", "none"]);
            return None;
        }
    };
    fields.finish();
    read
}

fn cursor(fields: &Fields<'_>) -> Option<Pagination> {
    fields.ignore(&["prev_cursor_path", "limit_data_type", "add_to_query"]);
    fields.not_yet(&CURSOR_NOT_YET, "leave it out");
    let is_link = fields.or("is_link", false, Spot::boolean);
    let source = source(fields);
    let param = parameter(fields, &["cursor_key", "cursor_param"], "cursor");
    let in_body = fields.or("add_to_body", false, Spot::boolean);
    let has_next_path = fields.maybe("has_next_path", Spot::response_path);
    let limit = limit(fields, None);
    Some(Pagination::Cursor(CursorPagination {
        source: source?,
        is_link: is_link?,
        param: param?,
        send_in: if in_body? { SendIn::Body } else { SendIn::Query },
        has_next_path: has_next_path?,
        limit: limit?,
    }))
}

/// `cursor_path` is a path in the body, or a header's name where `cursor_path_object` says so.
fn source(fields: &Fields<'_>) -> Option<CursorSource> {
    let in_header = fields.or("cursor_path_object", false, |spot| {
        spot.choice(&[("body", false), ("header", true), ("headers", true)])
    });
    let spot = fields.required("cursor_path")?;
    if in_header? {
        return spot.filled().map(|name| CursorSource::Header(name.to_ascii_lowercase()));
    }
    let path = spot.response_path()?;
    if path.is_empty() {
        spot.problem(
            "the whole body is no cursor",
            Some("write where the next cursor is, such as meta.next_cursor"),
        );
        return None;
    }
    Some(CursorSource::Body(path))
}

fn page(fields: &Fields<'_>) -> Option<Pagination> {
    let param = parameter(fields, &["page_param", "page_key"], "page");
    let start = fields.or("start", 1, |spot| spot.whole(0..=1_000_000));
    let limit = limit(fields, None);
    Some(Pagination::Page { param: param?, start: start?, limit: limit? })
}

fn offset(fields: &Fields<'_>) -> Option<Pagination> {
    let param = parameter(fields, &["offset_param", "offset_key"], "offset");
    let limit = limit(fields, Some("limit"));
    Some(Pagination::Offset { param: param?, limit: limit?? })
}

fn parameter(fields: &Fields<'_>, names: &[&'static str], default: &str) -> Option<String> {
    match fields.any_of(names) {
        Some(spot) => spot.filled().map(str::to_owned),
        None => Some(default.to_owned()),
    }
}

/// The page's size: `limit_param` (or `limit_key`) and `max_limit` (or `limit`). Without the parameter none is
/// asked for, unless the format has one by `default`.
fn limit(fields: &Fields<'_>, default: Option<&str>) -> Option<Option<Limit>> {
    let value_spot = fields.any_of(&["max_limit", "limit"]);
    let value = value_spot.as_ref().map_or(Some(PAGE_LIMIT_DEFAULT), |spot| spot.whole(1..=100_000));
    let param = match fields.any_of(&["limit_param", "limit_key"]) {
        Some(spot) => Some(spot.filled()?.to_owned()),
        None => default.map(str::to_owned),
    };
    match (param, value_spot) {
        (Some(param), _) => Some(Some(Limit { param, value: value? })),
        (None, Some(spot)) => {
            spot.problem_of_key(
                "a page's size means nothing without its parameter",
                Some("write limit_param as well"),
            );
            None
        }
        (None, None) => Some(None),
    }
}
