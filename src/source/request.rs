//! Composes one HTTP request from what is declared and what is asked for. No I/O: a request that can't be
//! composed is never sent.

use std::time::Duration;

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, RANGE, TRANSFER_ENCODING,
};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::definition::integration::{AnswerFormat, BodyFormat, Method};
use crate::definition::{Account, schema};
use crate::engine::seam::{Cursor, FetchRequest};
use crate::json::{self, Json};
use crate::source::failure::Failure;
use crate::source::pagination::Turn;
use crate::source::params::Params;
use crate::source::scope::RequestScope;
use crate::source::secrets::Secrets;
use crate::source::{address, authorization, pagination, xml};
use crate::template::Tree;

/// Headers that the HTTP client writes itself; a declared one would contradict it.
pub(super) const RESERVED_HEADERS: &[HeaderName] =
    &[HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, ACCEPT_ENCODING];

/// One request, ready to be sent any number of times. No `Debug`: it holds credentials.
pub(super) struct Prepared {
    /// `GET` and so on.
    pub(super) http_method: reqwest::Method,
    /// Where to; on the base URL's origin.
    pub(super) url: Url,
    /// All headers but those the client writes itself.
    pub(super) headers: HeaderMap,
    /// The body, as JSON or as a form.
    pub(super) body: Option<String>,
    /// Which page it asks for.
    pub(super) turn: Turn,
    /// How long one try may take, body included.
    pub(super) timeout: Duration,
    /// The account's secrets, and those composed for this request.
    pub(super) secrets: Secrets,
    secret_params: Vec<String>,
}

impl Prepared {
    /// Method and path, as errors name the request.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.http_method, self.path())
    }

    /// The path, for errors and logs.
    pub(super) fn path(&self) -> String {
        self.secrets.scrub(self.url.path())
    }

    /// `link` as it may be stored in a checkpoint: absolute, without the parameters that carry credentials,
    /// which some sources echo in their links and which every request gets anew.
    pub(super) fn stored_link(&self, link: &str) -> String {
        let Ok(mut url) = self.url.join(link) else { return link.to_owned() };
        let is_secret = |name: &str, value: &str| {
            self.secret_params.iter().any(|param| param == name) || self.secrets.are_in(value)
        };
        address::remove_params(&mut url, is_secret);
        url.set_fragment(None);
        url.into()
    }
}

/// Composes the request for `request`.
///
/// # Errors
/// When a placeholder has no value, or the result is no request this product may send.
pub(super) fn prepare(
    account: &Account,
    method: &Method,
    request: &FetchRequest,
    mut secrets: Secrets,
) -> Result<Prepared, Failure> {
    let scope = RequestScope { request, account };
    let asked = left_over(method, &request.query)?;
    let (of_address, of_body) =
        if method.query_in_body { (None, Some(&asked)) } else { (Some(&asked), None) };
    let mut query = merged(Some(&method.query), of_address, &scope, "query")?.unwrap_or_default();
    let mut body = merged(method.body.as_ref(), of_body, &scope, "body")?;
    if let Some(asked) = merged(None, request.body.as_ref(), &scope, "body")? {
        body.get_or_insert_with(Params::default).merge(asked);
    }
    let declared_query = query.clone();
    let turn = pagination::place(&method.pagination, &request.cursor, &mut query, &mut body)?;

    let base = address::base(&method.base_url, &scope)?;
    let mut url = address::of_method(&base, method, &scope)?;
    if let Cursor::Link(link) = &turn.cursor {
        // A link is the whole address; only what was taken out of it before it was stored comes back.
        url = address::of_link(&base, &url, link)?;
        let pairs = declared_query.pairs(method.query_array);
        let missing =
            |(name, value): &&(String, String)| secrets.are_in(value) && !address::has_param(&url, name);
        let secret_pairs: Vec<(String, String)> = pairs.iter().filter(missing).cloned().collect();
        append(&mut url, &secret_pairs);
    } else {
        let pairs = query.pairs(method.query_array);
        address::remove_params(&mut url, |name, _| pairs.iter().any(|(param, _)| param == name));
        append(&mut url, &pairs);
    }

    let mut headers = headers(method, &scope, body.is_some())?;
    if let Some(range) = &turn.range {
        headers.insert(RANGE, authorization::header_value("range", range)?);
    }
    let http_method = reqwest::Method::from_bytes(method.http_method.as_bytes()).map_err(|_| {
        Failure::permanent("invalid_method", format!("{:?} is no HTTP method", method.http_method))
    })?;
    let body = body.map(|body| match method.body_format {
        BodyFormat::Json => Ok(body.to_json().to_string()),
        BodyFormat::Form => {
            let pairs = body.pairs(method.query_array);
            Ok(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
        }
        BodyFormat::Xml => xml::from_json(&body.to_json()),
    });
    let body = body.transpose()?;
    let sent = (http_method.as_str(), body.as_deref());
    authorization::apply(&method.authorization, &scope, sent, &mut url, &mut headers, &mut secrets)?;
    let secret_params = authorization::query_params(&method.authorization);
    let timeout = request.timeout.unwrap_or(method.timeout);
    Ok(Prepared { http_method, url, headers, body, turn, timeout, secrets, secret_params })
}

/// What the source would refuse, or pass over in silence, is told before it is asked.
pub(super) fn check(method: &Method, request: &FetchRequest) -> Result<(), Failure> {
    let of_query = method.query_schema.as_ref().map(|it| schema::violations_of_query(it, &request.query));
    let of_body = method.body_schema.as_ref().map(|it| {
        let body = request.body.as_ref().map_or("{}", Json::as_str);
        let query = if method.query_in_body { request.query.as_str() } else { "{}" };
        schema::violations(it, &json::merged(body, query))
    });
    for (what, error, violations) in [("query", "invalid_query", of_query), ("body", "invalid_body", of_body)]
    {
        let told: Vec<String> = violations
            .into_iter()
            .flatten()
            .map(|(place, message, hint)| {
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                format!("{what}{place}: {message}{hint}")
            })
            .collect();
        if !told.is_empty() {
            let message = format!("not asked, by the method's {what}_schema: {}", told.join(", "));
            return Err(Failure::permanent(error, message));
        }
    }
    Ok(())
}

/// What of a job's query is sent as it stands: the method's own fields put the rest where it belongs, and many sources
/// refuse parameters that they don't know.
fn left_over(method: &Method, query: &Json) -> Result<Json, Failure> {
    let no_object = |_| Failure::permanent("template_error", "query must be a JSON object");
    let mut left = Params::parse(query).map_err(no_object)?;
    method.takes_from_query().iter().for_each(|name| left.remove(name));
    Ok(left.to_json())
}

/// What the method declares with the request's own laid over it; `None` when there is neither.
fn merged(
    declared: Option<&Tree>,
    asked: Option<&Json>,
    scope: &RequestScope<'_>,
    what: &str,
) -> Result<Option<Params>, Failure> {
    let parse = |json: &Json| {
        let no_object = |_| Failure::permanent("template_error", format!("{what} must be a JSON object"));
        Params::parse(json).map_err(no_object)
    };
    let declared = declared.map(|tree| tree.render(scope)).transpose().map_err(|error| {
        let what = format!("{what} can't be filled in: {error}; the request needs that value");
        Failure::permanent("template_error", what)
    })?;
    let declared =
        declared.flatten().filter(|json| json.as_str() != "null").as_ref().map(parse).transpose()?;
    let asked = asked.filter(|json| json.as_str() != "null").map(parse).transpose()?;
    Ok(match (declared, asked) {
        (Some(mut declared), Some(asked)) => {
            declared.merge(asked);
            Some(declared)
        }
        (declared, asked) => declared.or(asked),
    })
}

fn append(url: &mut Url, pairs: &[(String, String)]) {
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
}

fn headers(method: &Method, scope: &RequestScope<'_>, has_body: bool) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    let accepted = match method.answer_format {
        AnswerFormat::Json => "application/json",
        AnswerFormat::NdJson => "application/x-ndjson, application/jsonl, application/json",
        AnswerFormat::Csv => "text/csv",
        AnswerFormat::Xml => "application/xml, text/xml",
    };
    headers.insert(ACCEPT, HeaderValue::from_static(accepted));
    if has_body {
        let written = match method.body_format {
            BodyFormat::Json => "application/json",
            BodyFormat::Form => "application/x-www-form-urlencoded",
            BodyFormat::Xml => "application/xml",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(written));
    }
    for (name, template) in &method.headers {
        let value = template.text(scope).map_err(|error| {
            let what = format!("header {name:?} can't be filled in: {error}; the request needs that value");
            Failure::permanent("template_error", what)
        })?;
        let header = authorization::header_name(name)?;
        if RESERVED_HEADERS.contains(&header) {
            let what =
                format!("header {name:?} is written by the HTTP client; remove it from the integration");
            return Err(Failure::permanent("invalid_header", what));
        }
        headers.insert(header, authorization::header_value(name, &value)?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Integration;
    use crate::definition::integration::{Authorization, CursorPagination, CursorSource, Pagination, SendIn};
    use crate::source::testing::{account, integration, literal, method, object, request};
    use crate::template::Template;

    fn template(text: &str) -> Template {
        Template::parse(text).unwrap()
    }

    fn prepared(
        integration: &Integration,
        method: &Method,
        request: &FetchRequest,
    ) -> Result<Prepared, String> {
        let account = account(r#"{"org":"acme"}"#, &[("token", "t0k3n-canary")]);
        let method = Method {
            base_url: integration.base_url.clone(),
            authorization: integration.authorization.clone(),
            ..method.clone()
        };
        prepare(&account, &method, request, Secrets::of(&account))
            .map_err(|f| format!("{}: {}", f.error, f.message))
    }

    #[test]
    fn query_body_and_headers_are_laid_together() {
        let mut method = method();
        method.http_method = "POST".to_owned();
        method.path = template("/orgs/{{org}}/search?kind=a&v=1");
        method.query = object(&[("v", literal("2")), ("f", literal(r#"{"a":1,"b":2}"#)), ("o", object(&[]))]);
        method.body = Some(object(&[("q", literal("\"x\"")), ("n", literal("1.10"))]));
        method.headers =
            vec![("x-org".to_owned(), template("{{org}}")), ("accept".to_owned(), template("text/json"))];
        let mut request = request("tickets", "search");
        request.query = Json::parse(r#"{"f":{"b":12345678901234567890},"l":["x y"]}"#).unwrap();
        request.body = Some(Json::parse(r#"{"q":"y","big":12345678901234567890}"#).unwrap());
        let prepared = prepared(&integration("https://x.example/v1"), &method, &request).unwrap();
        assert_eq!(
            prepared.url.as_str(),
            "https://x.example/v1/orgs/acme/search?kind=a&v=2&f%5Ba%5D=1&f%5Bb%5D=12345678901234567890&l%5B%5D=x+y"
        );
        assert_eq!(prepared.body.unwrap().as_str(), r#"{"q":"y","n":1.10,"big":12345678901234567890}"#);
        assert_eq!(prepared.headers["x-org"], "acme");
        assert_eq!(prepared.headers["accept"], "text/json");
        assert_eq!(prepared.headers["content-type"], "application/json");
    }

    #[test]
    fn what_the_method_puts_in_its_place_is_not_sent_again() {
        let mut method = method();
        method.path = template("/tickets/{{query.ticket}}/comments");
        method.query =
            object(&[("updated", Tree::Text(template("{{query.since:undefined}}"))), ("a", literal("1"))]);
        method.body = Some(object(&[("kind", Tree::Text(template("{{query.kind:undefined}}")))]));
        let mut request = request("comments", "list");
        request.query = Json::parse(r#"{"ticket":7,"since":"2026","kind":"x","a":2,"sort":"id"}"#).unwrap();
        let prepared = prepared(&integration("https://x.example"), &method, &request).unwrap();
        assert_eq!(prepared.url.as_str(), "https://x.example/tickets/7/comments?updated=2026&a=2&sort=id");
        assert_eq!(prepared.body.unwrap(), r#"{"kind":"x"}"#);
    }

    #[test]
    fn what_a_method_can_not_be_asked_with_is_told() {
        let query_schema = r#"{"type":"object","required":["since"],"additionalProperties":false,"properties":{
            "since":{"type":"string"},"size":{"type":"integer","maximum":50},"open":{"type":"boolean"},
            "ids":{"type":"array","items":{"type":"integer"}},"code":{"type":["string","null"]},
            "at":{"type":"object","properties":{"n":{"type":"number"}}},
            "days":{"enum":[7,30,"all"]},"top":{"maximum":50},"only":{"const":true},"names":{"type":"array"}}}"#;
        let body_schema = r#"{"type":"object","required":["title"],"properties":{"title":{"type":"string"},"n":{"type":"integer"}}}"#;
        let method = Method {
            query_schema: Json::parse(query_schema).ok(),
            body_schema: Json::parse(body_schema).ok(),
            ..method()
        };
        for (query, body, told) in [
            (r#"{"since":"a"}"#, r#"{"title":"t"}"#, None),
            // A parameter is text when it is sent, however it is written.
            (
                r#"{"since":2026,"size":"25","open":"true","ids":["1",2],"at":{"n":"1.5"}}"#,
                r#"{"title":""}"#,
                None,
            ),
            (r#"{"since":"a","code":7,"size":null}"#, r#"{"title":"t"}"#, None),
            (r#"{"since":"a","days":"7","top":"50","only":"true"}"#, r#"{"title":"t"}"#, None),
            (r#"{"since":"a","days":30,"top":50,"only":true}"#, r#"{"title":"t"}"#, None),
            (r#"{"since":"a","days":"all"}"#, r#"{"title":"t"}"#, None),
            (
                r#"{"since":"a","days":"8"}"#,
                r#"{"title":"t"}"#,
                Some("query.days: 8 is not allowed; one of 7, 30"),
            ),
            (r#"{"since":"a","top":"51"}"#, r#"{"title":"t"}"#, Some("query.top: 51 is out of range")),
            (r#"{"since":"a","only":"false"}"#, r#"{"title":"t"}"#, Some("query.only: false is not allowed")),
            // Text that looks like a list is text, and one value is not sent as a list of one is.
            (r#"{"since":"a","ids":["1"]}"#, r#"{"title":"t"}"#, None),
            (
                r#"{"since":"a","names":"[1]"}"#,
                r#"{"title":"t"}"#,
                Some("query.names: expected a list, found text"),
            ),
            (
                r#"{"since":"a","ids":"[1]"}"#,
                r#"{"title":"t"}"#,
                Some("query.ids: expected a list, found text"),
            ),
            (
                r#"{"since":null}"#,
                r#"{"title":"t"}"#,
                Some("invalid_query: not asked, by the method's query_schema: query: since is missing"),
            ),
            (
                r#"{"since":"a","size":"51"}"#,
                r#"{"title":"t"}"#,
                Some("query.size: 51 is out of range; at most 50"),
            ),
            (
                r#"{"since":"a","size":"many"}"#,
                r#"{"title":"t"}"#,
                Some("query.size: expected a whole number"),
            ),
            (
                r#"{"since":"a","ids":[1,"x"]}"#,
                r#"{"title":"t"}"#,
                Some("query.ids[1]: expected a whole number"),
            ),
            (r#"{"since":"a","sizes":1}"#, r#"{"title":"t"}"#, Some("did you mean \"size\"?")),
            (
                r#"{"since":"a"}"#,
                "{}",
                Some("invalid_body: not asked, by the method's body_schema: body: title is missing"),
            ),
            (r#"{"since":"a"}"#, r#"{"title":"t","n":"1"}"#, Some("body.n: expected a whole number")),
        ] {
            let query = Json::parse(query).unwrap();
            let asked = FetchRequest { query, body: Json::parse(body).ok(), ..request("tickets", "list") };
            let error =
                check(&method, &asked).err().map(|failure| format!("{}: {}", failure.error, failure.message));
            let fits = match (&error, told) {
                (Some(error), Some(told)) => error.contains(told),
                (error, told) => error.is_none() && told.is_none(),
            };
            assert!(fits, "{asked:?}: {error:?}");
        }
    }

    #[test]
    fn headers_of_the_client_and_broken_ones_are_refused() {
        for (name, value) in
            [("host", "x"), ("content-length", "3"), ("accept-encoding", "br"), ("a b", "x"), ("x", "a\nb")]
        {
            let mut method = method();
            method.headers = vec![(name.to_owned(), template(value))];
            let error =
                prepared(&integration("https://x.example"), &method, &request("t", "l")).err().unwrap();
            assert!(error.starts_with("invalid_header"), "{name}: {error}");
        }
    }

    #[test]
    fn a_link_is_followed_as_it_is_and_stored_without_credentials() {
        let mut integration = integration("https://x.example/v1");
        integration.authorization =
            Authorization::Query { params: vec![("api_key".to_owned(), template("{{token}}"))] };
        let mut method = method();
        method.query = object(&[("sig", Tree::Text(template("{{token}}"))), ("per_page", literal("9"))]);
        method.pagination = Pagination::Cursor(CursorPagination {
            source: CursorSource::Body(vec!["next".to_owned()]),
            is_link: true,
            param: "after".to_owned(),
            send_in: SendIn::Query,
            limit: None,
        });
        let mut request = request("tickets", "list");
        let first = prepared(&integration, &method, &request).unwrap();
        let stored = first.stored_link("/v1/t?c=%2b~&api_key=t0k3n-canary&sig=t0k3n-canary#x");
        assert_eq!(stored, "https://x.example/v1/t?c=%2b~");
        request.cursor = Cursor::Link(stored.clone());
        let second = prepared(&integration, &method, &request).unwrap();
        assert_eq!(
            second.url.as_str(),
            "https://x.example/v1/t?c=%2b~&sig=t0k3n-canary&api_key=t0k3n-canary"
        );
        assert_eq!(second.stored_link(second.url.as_str()), stored);
        assert_eq!(second.name(), "GET /v1/t");

        request.cursor = Cursor::Link("https://evil.example/v1/t".to_owned());
        let error = prepared(&integration, &method, &request).err().unwrap();
        assert!(error.starts_with("cross_origin_link") && !error.contains("canary"), "{error}");
    }
}
