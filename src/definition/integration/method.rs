//! One method of a resource, and what an integration sets for all of them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::read::{base_url, check_roots};
use super::{AnswerFormat, Authorization, BodyFormat, Ends, Method, Pagination, QueryArray, SendIn};
use super::{PAGE_BYTES_MAX_DEFAULT, PAGE_RECORDS_MAX_DEFAULT, PAGES_MAX_DEFAULT, TIMEOUT_DEFAULT};
use super::{authorization, pagination};
use crate::definition::check::{Fields, Spot};
use crate::definition::{headers, schema};
use crate::expression::Expression;
use crate::json::Json;
use crate::template::{Template, Tree};

/// Methods that answer with one record or none, and so don't inherit a pagination.
const WITHOUT_PAGES: [&str; 5] = ["get", "create", "update", "delete", "download"];

const TIMEOUT_MAX: Duration = Duration::from_secs(600);
const PAGE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Fields of Truto's methods that change what happens and can't yet.
const NOT_YET: [&str; 5] =
    ["body_format_config", "pagination_path", "ignore_body_in_pagination", "ignore_body", "set_body_to_null"];

/// What may be written for the whole integration and for each method.
#[derive(Clone)]
pub(super) struct Defaults {
    /// `None` takes a header away that the integration sets for all methods.
    headers: Vec<(String, Option<Template>)>,
    query: Tree,
    query_array: QueryArray,
    pagination: Pagination,
    ends: Ends,
    error_expression: Option<Expression>,
    missing_is_empty: bool,
    replayable: bool,
    timeout: Duration,
    page_bytes_max: usize,
    page_records_max: usize,
    pages_max: u32,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            headers: Vec::new(),
            query: Tree::empty(),
            query_array: QueryArray::default(),
            pagination: Pagination::None,
            ends: Ends::default(),
            error_expression: None,
            missing_is_empty: false,
            replayable: true,
            timeout: TIMEOUT_DEFAULT,
            page_bytes_max: PAGE_BYTES_MAX_DEFAULT,
            page_records_max: PAGE_RECORDS_MAX_DEFAULT,
            pages_max: PAGES_MAX_DEFAULT,
        }
    }
}

impl Defaults {
    /// The settings of an integration.
    pub(super) fn read(fields: &Fields<'_>) -> Option<Self> {
        Self::default().overridden(fields)
    }

    /// These settings with those that are written laid over them.
    fn overridden(&self, fields: &Fields<'_>) -> Option<Self> {
        let own_headers = fields.or("headers", Vec::new(), own_headers);
        let own_query = fields.or("query", Tree::empty(), own_tree);
        let query_array = fields.or("query_array_format", self.query_array, |spot| {
            spot.choice(&[
                ("brackets", QueryArray::Brackets),
                ("repeat", QueryArray::Repeat),
                ("comma", QueryArray::Comma),
                ("indices", QueryArray::Indices),
            ])
        });
        let pagination = match fields.written("pagination") {
            None => Some((self.pagination.clone(), self.ends.clone())),
            Some(spot) if spot.value().is_null() => Some((Pagination::None, Ends::default())),
            Some(spot) => pagination::read(&spot),
        };
        let error_expression = match fields.written("error_expression") {
            None => Some(self.error_expression.clone()),
            Some(spot) if spot.value().is_null() => Some(None),
            Some(spot) => spot.expression().map(Some),
        };
        let missing_is_empty = fields.or("missing_response_path", self.missing_is_empty, |spot| {
            spot.choice(&[("error", false), ("empty", true)])
        });
        let replayable = fields.or("replayable", self.replayable, Spot::boolean);
        let timeout = fields
            .or("timeout", self.timeout, |spot| spot.duration(Duration::from_millis(100)..=TIMEOUT_MAX));
        let page_bytes_max =
            fields.or("page_bytes_max", self.page_bytes_max, |spot| spot.whole(1024..=PAGE_BYTES_MAX));
        let page_records_max =
            fields.or("page_records_max", self.page_records_max, |spot| spot.whole(1..=1_000_000));
        let pages_max = fields.or("pages_max", self.pages_max, |spot| spot.whole(1..=10_000_000));
        let (pagination, ends) = pagination?;
        Some(Self {
            headers: merged(&self.headers, own_headers?),
            query: self.query.clone().merged(own_query?),
            query_array: query_array?,
            pagination,
            ends,
            error_expression: error_expression?,
            missing_is_empty: missing_is_empty?,
            replayable: replayable?,
            timeout: timeout?,
            page_bytes_max: page_bytes_max?,
            page_records_max: page_records_max?,
            pages_max: pages_max?,
        })
    }
}

/// Where requests go and how they are authenticated, where a method doesn't say.
#[derive(Clone, Copy)]
pub(super) struct Way<'w> {
    pub(super) base_url: &'w Template,
    pub(super) authorization: &'w Authorization,
}

/// The method `name`.
pub(super) fn read(spot: &Spot<'_>, name: &str, defaults: &Defaults, way: Way<'_>) -> Option<Method> {
    let fields = spot.fields()?;
    fields.ignore(&["description", "api_documentation_url", "scopes", "examples", "tool_tags", "label"]);
    fields.ignore(&["response_schema", "ignore_credentials_on_redirect"]);
    fields.not_yet(&NOT_YET, "leave it out");
    let (base_url, authorization) = own_way(&fields, way)?;
    let body_format = fields.or("body_format", BodyFormat::Json, |spot| {
        spot.choice(&[("json", BodyFormat::Json), ("form", BodyFormat::Form), ("xml", BodyFormat::Xml)])
    });
    let answer_format = answer_format(&fields);
    let query_in_body = fields.or("add_query_to_body", false, Spot::boolean);
    let http_method = fields.or("method", "GET", |spot| {
        spot.choice(&[
            ("get", "GET"),
            ("post", "POST"),
            ("put", "PUT"),
            ("patch", "PATCH"),
            ("delete", "DELETE"),
        ])
    });
    let path = fields.required("path").and_then(|spot| path(&spot));
    let body = fields.maybe("body", own_tree);
    let response_path = fields.or("response_path", Vec::new(), Spot::response_path);
    let inherited = if WITHOUT_PAGES.contains(&name) {
        &Defaults { pagination: Pagination::None, ends: Ends::default(), ..defaults.clone() }
    } else {
        defaults
    };
    let settings = inherited.overridden(&fields);
    let query_schema = fields.maybe("query_schema", schema::of_object);
    let body_schema = fields.maybe("body_schema", schema::of_object);
    fields.finish();
    let settings = settings?;
    let (query_schema, body_schema) = with_page_size(&settings.pagination, query_schema?, body_schema?);
    Some(Method {
        http_method: http_method?.to_owned(),
        base_url,
        authorization,
        path: path?,
        headers: settings.headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        query: settings.query,
        query_array: settings.query_array,
        body: body?,
        body_format: body_format?,
        query_in_body: query_in_body?,
        answer_format: answer_format?,
        error_expression: settings.error_expression,
        response_path: response_path?,
        missing_is_empty: settings.missing_is_empty,
        pagination: settings.pagination,
        ends: settings.ends,
        replayable: settings.replayable,
        timeout: settings.timeout,
        page_bytes_max: settings.page_bytes_max,
        page_records_max: settings.page_records_max,
        pages_max: settings.pages_max,
        query_schema,
        body_schema,
    })
}

/// The schemas of query and body, with the parameter for the size of a page, which needs no naming.
fn with_page_size(
    pagination: &Pagination,
    query: Option<Json>,
    body: Option<Json>,
) -> (Option<Json>, Option<Json>) {
    let Some(limit) = pagination.limit() else { return (query, body) };
    if matches!(pagination, Pagination::Cursor(rule) if rule.send_in == SendIn::Body) {
        // There its name is a path.
        let path: Vec<&str> = limit.param.split('.').collect();
        (query, body.map(|schema| schema::allowing(&schema, &path)))
    } else {
        (query.map(|schema| schema::allowing(&schema, &[&limit.param])), body)
    }
}

/// The integration's way, but for what the method says itself.
fn own_way(fields: &Fields<'_>, way: Way<'_>) -> Option<(Template, Authorization)> {
    let own_url = fields.or("base_url", way.base_url.clone(), base_url);
    let own = fields.or("authorization", way.authorization.clone(), authorization::read);
    let without = fields.or("no_auth", false, Spot::boolean);
    if without? {
        if let Some(spot) = fields.get("authorization") {
            spot.problem_of_key("no_auth sends none", Some("leave one of them out"));
            return None;
        }
        return Some((own_url?, Authorization::None));
    }
    Some((own_url?, own?))
}

fn answer_format(fields: &Fields<'_>) -> Option<AnswerFormat> {
    if let Some(spot) = fields.get("throw_error_on_parse_error")
        && spot.value().as_bool() == Some(false)
    {
        spot.not_yet("a response that can't be read is always an error");
    }
    fields.or("api_response_format", AnswerFormat::Json, |spot| {
        spot.choice(&[
            ("json", AnswerFormat::Json),
            ("ndjson", AnswerFormat::NdJson),
            ("csv", AnswerFormat::Csv),
            ("xml", AnswerFormat::Xml),
        ])
    })
}

fn path(spot: &Spot<'_>) -> Option<Template> {
    let template = spot.template()?;
    check_roots(spot, &template)?;
    let source = template.source();
    let (message, hint) = if source.starts_with("http://") || source.starts_with("https://") {
        ("a path is appended to base_url and has no host", "write what follows the host: /v1/tickets")
    } else if template.literal_parts().any(|text| text.contains(['?', '#'])) {
        ("a path has no parameters", "write them under query")
    } else if template
        .literal_parts()
        .any(|text| text.contains(|c: char| c.is_whitespace() || c.is_control()))
    {
        ("a path has no spaces or line breaks", "write a space as %20")
    } else if !source.is_empty() && !source.starts_with('/') && !source.starts_with("{{") {
        ("a path begins with /", "write it as /v1/tickets")
    } else {
        return Some(template);
    };
    spot.problem(message, Some(hint));
    None
}

/// Headers by lower-case name; `null` takes one away.
pub(super) fn own_headers(spot: &Spot<'_>) -> Option<Vec<(String, Option<Template>)>> {
    let mut seen = BTreeSet::new();
    let read = |(name, spot): (&str, Spot<'_>)| {
        let name = name.to_ascii_lowercase();
        if let Some(reason) = headers::refusal(&name) {
            spot.problem_of_key(reason, None);
            return None;
        }
        if !seen.insert(name.clone()) {
            spot.problem_of_key("this header is written twice; case doesn't matter", None);
            return None;
        }
        if spot.value().is_null() {
            return Some((name, None));
        }
        let template = spot.template()?;
        check_roots(&spot, &template)?;
        if !template.literal_parts().all(headers::is_value) {
            spot.problem("a header's value is visible ASCII, without line breaks", None);
            return None;
        }
        Some((name, Some(template)))
    };
    let read: Vec<Option<_>> = spot.entries()?.into_iter().map(read).collect();
    read.into_iter().collect()
}

/// A query or a body, with the placeholders an integration knows.
pub(super) fn own_tree(spot: &Spot<'_>) -> Option<Tree> {
    let tree = spot.object_tree()?;
    let checked: Vec<Option<()>> =
        tree.templates().into_iter().map(|(_, template)| check_roots(spot, template)).collect();
    checked.into_iter().collect::<Option<Vec<()>>>()?;
    Some(tree)
}

fn merged(
    base: &[(String, Option<Template>)],
    own: Vec<(String, Option<Template>)>,
) -> Vec<(String, Option<Template>)> {
    let is_own = |name: &str| own.iter().any(|(other, _)| other == name);
    base.iter().filter(|(name, _)| !is_own(name)).cloned().chain(own.iter().cloned()).collect()
}
