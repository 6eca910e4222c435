//! How lists continue, in Truto's words: `format` and `config`.

use super::{
    CursorPagination, CursorSource, Ends, Limit, PAGE_LIMIT_DEFAULT, Pagination, SendIn, Told, limits,
};
use crate::definition::check::{Fields, Spot};

/// Parameters of Truto's cursor pagination that change what happens and can't yet.
const CURSOR_NOT_YET: [&str; 6] = [
    "include_path",
    "headers",
    "use_content_hash",
    "is_cursor_url_encoded",
    "allow_empty_page_cursor",
    "ignore_limit_in_pagination",
];
const FORMATS: [&str; 7] = ["cursor", "page", "offset", "link_header", "range", "dynamic", "none"];

/// A pagination, and what ends its lists.
pub(super) fn read(spot: &Spot<'_>) -> Option<(Pagination, Ends)> {
    let fields = spot.fields()?.unwrapped("config")?;
    let format = fields.required("format")?;
    let read = match format.text()? {
        "none" => Some(Pagination::None),
        "cursor" => cursor(&fields),
        "page" => page(&fields),
        "offset" => offset(&fields),
        "link_header" => limit(&fields, None).map(|limit| Pagination::LinkHeader { limit }),
        "range" => range(&fields),
        "dynamic" => dynamic(&fields),
        other => {
            format.not_one_of(other, &FORMATS);
            return None;
        }
    };
    let ends = ends(&fields, read.as_ref());
    fields.finish();
    Some((read?, ends?))
}

/// What ends a list: at most one place in the answer that tells, a page's length, and statuses.
fn ends(fields: &Fields<'_>, pagination: Option<&Pagination>) -> Option<Ends> {
    let is_numbered = matches!(pagination, None | Some(Pagination::Page { .. } | Pagination::Offset { .. }));
    let has_pages = matches!(pagination, None | Some(Pagination::Page { .. }));
    let mut told = None;
    for (name, fits) in [
        ("has_next_path", true),
        ("end_path", true),
        ("total_path", is_numbered),
        ("total_pages_path", has_pages),
    ] {
        let Some(spot) = fields.get(name) else { continue };
        if !fits {
            spot.problem_of_key("this pagination counts nothing", Some("has_next_path and end_path fit all"));
            return None;
        }
        let path = spot.response_path()?;
        let this = match name {
            "has_next_path" => Told::HasNext(path),
            "end_path" => Told::IsLast(path),
            "total_path" => Told::Records(path),
            _ => Told::Pages(path),
        };
        if told.replace(this).is_some() {
            spot.problem_of_key("two places tell whether there is more", Some("keep one of them"));
            return None;
        }
    }
    let only_when_empty = fields.or("ends", false, |spot| {
        if !is_numbered {
            spot.problem_of_key("only numbered lists (page, offset) end by a page's length", None);
            return None;
        }
        spot.choice(&[("short_page", false), ("empty_page", true)])
    });
    let statuses = fields.or("end_statuses", Vec::new(), limits::statuses);
    Some(Ends { told, only_when_empty: only_when_empty?, statuses: statuses? })
}

fn cursor(fields: &Fields<'_>) -> Option<Pagination> {
    fields.ignore(&["prev_cursor_path", "limit_data_type", "add_to_query"]);
    fields.not_yet(&CURSOR_NOT_YET, "leave it out");
    let is_link = fields.or("is_link", false, Spot::boolean);
    let source = source(fields);
    let param = parameter(fields, &["cursor_key", "cursor_param"], "cursor");
    let send_in = send_in(fields);
    let limit = limit(fields, None);
    Some(Pagination::Cursor(CursorPagination {
        source: source?,
        is_link: is_link?,
        param: param?,
        send_in: send_in?,
        limit: limit?,
    }))
}

fn send_in(fields: &Fields<'_>) -> Option<SendIn> {
    let in_body = fields.or("add_to_body", false, Spot::boolean)?;
    Some(if in_body { SendIn::Body } else { SendIn::Query })
}

fn range(fields: &Fields<'_>) -> Option<Pagination> {
    let unit = fields.required("range_unit").and_then(|spot| {
        let unit = spot.filled()?;
        if !unit.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) || unit == "bytes" {
            spot.problem("this is no unit that records are counted in", Some("range_unit: items"));
            return None;
        }
        Some(unit.to_owned())
    });
    let size = fields.any_of(&["max_limit", "limit"]);
    let size = size.map_or(Some(PAGE_LIMIT_DEFAULT), |spot| spot.whole(1..=100_000));
    Some(Pagination::Range { unit: unit?, size: size? })
}

fn dynamic(fields: &Fields<'_>) -> Option<Pagination> {
    // What callers of a live request see of it; runs keep the values.
    fields.ignore(&["get_cursor_from_response_expression"]);
    let first = fields.maybe("get_initial_pagination_values_expression", Spot::expression);
    let next = fields.required("get_pagination_values_expression").and_then(|spot| spot.expression());
    let send_in = send_in(fields);
    Some(Pagination::Dynamic { first: first?, next: next?, send_in: send_in? })
}

/// `cursor_path` is a path in the body or in the page's last record, or a header's name, as `cursor_path_object` says.
fn source(fields: &Fields<'_>) -> Option<CursorSource> {
    let place = fields.or("cursor_path_object", "body", |spot| {
        let places = ["body", "header", "headers", "last_record"].map(|place| (place, place));
        spot.choice(&places)
    });
    let spot = fields.required("cursor_path")?;
    let place = place?;
    if place.starts_with("header") {
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
    Some(if place == "body" { CursorSource::Body(path) } else { CursorSource::LastRecord(path) })
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
