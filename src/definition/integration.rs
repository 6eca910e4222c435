//! An integration: the declaration of a third-party HTTP API.

use std::collections::BTreeMap;
use std::time::Duration;

use super::check::Checker;
use super::document::Document;
use super::problem::Problems;
use super::unified::Mapping;
use crate::expression::Expression;
use crate::id::IntegrationName;
use crate::json::Json;
use crate::template::{Template, Tree};

mod authorization;
mod credentials;
mod grant;
mod limits;
mod method;
mod pagination;
mod read;

pub use grant::{Assertion, Authorize, ClientAuth, Grant, GrantKind, Login, TokenPlace};

/// The time one request may take when nothing else is written.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// The largest page in bytes, decompressed, when nothing else is written.
pub const PAGE_BYTES_MAX_DEFAULT: usize = 8 * 1024 * 1024;
/// The most records a page may have when nothing else is written.
pub const PAGE_RECORDS_MAX_DEFAULT: usize = 10_000;
/// The most pages a list may have when nothing else is written.
pub const PAGES_MAX_DEFAULT: u32 = 100_000;
/// Records a page when a pagination names its size's parameter without the size.
pub const PAGE_LIMIT_DEFAULT: u64 = 100;

/// A checked integration. Every method carries its settings complete: what the integration sets for all
/// methods is merged into each of them when it is read.
#[derive(Debug, Clone)]
pub struct Integration {
    /// The name accounts and jobs refer to.
    pub name: IntegrationName,
    /// For people; the name when none is written.
    pub label: String,
    /// Origin and path prefix of every request; placeholders see the account's context and credentials.
    pub base_url: Template,
    /// How requests are authenticated.
    pub authorization: Authorization,
    /// How accounts get their access token, when it is one that is renewed.
    pub grant: Option<Grant>,
    /// How a failed request is tried again.
    pub retry: RetryPolicy,
    /// How a rate limit is recognised.
    pub rate_limit: RateLimitRule,
    /// What happens to a run when the source refuses the credentials (401).
    pub on_unauthorized: OnUnauthorized,
    /// Resource name → method name → method.
    pub resources: BTreeMap<String, BTreeMap<String, Method>>,
    /// Resource of a unified model (`ticketing/tickets`) → method → how it is answered.
    pub unified: BTreeMap<String, BTreeMap<String, Mapping>>,
}

impl Integration {
    /// The integration that `document` describes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_document(document: &Document) -> Result<Self, Problems> {
        Checker::run(document, read::integration)
    }

    /// What the base URL and the authorization can't do without: paths into an account's credentials
    /// (`credentials.…`) or context (`context.…` or bare).
    pub fn account_paths(&self) -> Vec<Vec<String>> {
        let authorization: Vec<&Template> = match &self.authorization {
            Authorization::None | Authorization::Expression { .. } => Vec::new(),
            Authorization::Bearer { token } => vec![token],
            Authorization::Header { headers } => headers.iter().map(|(_, value)| value).collect(),
            Authorization::Query { params } => params.iter().map(|(_, value)| value).collect(),
            Authorization::Basic { username, password } => vec![username, password],
        };
        authorization.into_iter().chain([&self.base_url]).flat_map(Template::required_paths).collect()
    }

    /// The method `method` of `resource`. For a resource of a unified model, the one that its mapping leads to.
    pub fn method(&self, resource: &str, method: &str) -> Option<&Method> {
        match self.mapping(resource, method) {
            Some(mapping) => self.resources.get(&mapping.resource)?.get(&mapping.method),
            None => self.resources.get(resource)?.get(method),
        }
    }

    /// The mapping by which `method` of a unified model's resource is answered.
    pub fn mapping(&self, resource: &str, method: &str) -> Option<&Mapping> {
        self.unified.get(resource)?.get(method)
    }
}

/// How requests are authenticated. All templates see context and credentials.
#[derive(Debug, Clone)]
pub enum Authorization {
    /// Not at all.
    None,
    /// `Authorization: Bearer <token>`.
    Bearer {
        /// The token.
        token: Template,
    },
    /// Headers of any name.
    Header {
        /// Name (lower case) and value.
        headers: Vec<(String, Template)>,
    },
    /// Query parameters.
    Query {
        /// Name and value.
        params: Vec<(String, Template)>,
    },
    /// Headers that an expression gives; sees `url`, `requestOptions`, `context` (with the credentials) and `credentials`.
    Expression {
        /// Gives an object of names and values.
        expression: Expression,
    },
    /// HTTP basic authentication.
    Basic {
        /// User name.
        username: Template,
        /// Password; may be empty.
        password: Template,
    },
}

/// What to do with a run whose credentials the source refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnauthorized {
    /// The run fails with a clear reason and can be resumed once the account is mended (the default).
    Fail,
    /// The run is parked with growing waits until the credentials work again or the outage budget is used up.
    Park,
}

/// How a failed request is tried again: at once a few times, then by parking the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries of one request before the run parks; at least 1.
    pub attempts: u32,
    /// The wait before the second try; doubles each time, with jitter.
    pub base: Duration,
    /// The longest wait between two tries at once.
    pub max: Duration,
    /// How long an outage may last, parked, before it becomes an error of the request.
    pub outage_budget: Duration,
    /// Statuses that are tried again like a 5xx, beside those that always are.
    pub statuses: Vec<u16>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            base: Duration::from_millis(500),
            max: Duration::from_secs(10),
            outage_budget: Duration::from_secs(3600),
            statuses: Vec::new(),
        }
    }
}

/// How a rate limit is recognised and how long it lasts. `Retry-After` (seconds or a date) always counts;
/// the longer of it and the declared header wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitRule {
    /// Statuses that always mean a rate limit (429 by default). 503 means one when it carries `Retry-After`.
    pub statuses: Vec<u16>,
    /// A header that says when the limit is over.
    pub reset_header: Option<ResetHeader>,
    /// Further answers that are one: where this is true; sees `status`, `headers` and `data`.
    pub is_limited: Option<Expression>,
    /// Gives the seconds that such an answer asks to wait.
    pub retry_after: Option<Expression>,
    /// What the source allows.
    pub budget: Option<RequestBudget>,
    /// Whether it counts the requests of all accounts together: the limit is the application's.
    pub of_application: bool,
    /// The wait when the source gives no hint.
    pub default_wait: Duration,
    /// The longest single wait that is believed; a longer hint is cut to it.
    pub max_wait: Duration,
}

impl Default for RateLimitRule {
    fn default() -> Self {
        Self {
            statuses: vec![429],
            reset_header: None,
            is_limited: None,
            retry_after: None,
            budget: None,
            of_application: false,
            default_wait: Duration::from_secs(30),
            max_wait: Duration::from_secs(3600),
        }
    }
}

/// So many requests in a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestBudget {
    /// The most requests.
    pub requests: u32,
    /// In which time.
    pub per: Duration,
}

/// A declared header that says when the limit is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetHeader {
    /// Header name, lower case.
    pub name: String,
    /// What its number means.
    pub unit: ResetUnit,
}

/// What the number in a reset header means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetUnit {
    /// Seconds since 1970.
    EpochSeconds,
    /// Milliseconds since 1970.
    EpochMillis,
    /// Seconds from now.
    DeltaSeconds,
}

/// One method of a resource: one kind of request.
#[derive(Debug, Clone)]
pub struct Method {
    /// `get`, `post`, `put`, `patch` or `delete`, upper case (`GET`).
    pub http_method: String,
    /// Origin and path prefix: the integration's, or its own.
    pub base_url: Template,
    /// How it is authenticated: as the integration says, or on its own.
    pub authorization: Authorization,
    /// Appended to the base URL. Placeholders see `id`, `query`, `body`, context and credentials.
    pub path: Template,
    /// Headers sent with every request: name (lower case) and value.
    pub headers: Vec<(String, Template)>,
    /// Query parameters sent with every request; the job's own are merged over them.
    pub query: Tree,
    /// How an array becomes query parameters.
    pub query_array: QueryArray,
    /// A body sent with every request; the job's own is merged over it.
    pub body: Option<Tree>,
    /// How the body is written.
    pub body_format: BodyFormat,
    /// Whether the job's query goes into the body, and not into the address.
    pub query_in_body: bool,
    /// How an answer is written.
    pub answer_format: AnswerFormat,
    /// What of an answer means an error, whatever its status says; sees `status`, `headers` and `data`.
    pub error_expression: Option<Expression>,
    /// Where the records are in the response; empty for the whole body.
    pub response_path: Vec<String>,
    /// Whether an absent `response_path` means an empty list rather than an error.
    pub missing_is_empty: bool,
    /// How a list continues.
    pub pagination: Pagination,
    /// What ends it, beside what its pagination says.
    pub ends: Ends,
    /// Whether a page can be fetched again with the same cursor (rule 6).
    pub replayable: bool,
    /// The longest time one request may take, body included.
    pub timeout: Duration,
    /// The largest body, decompressed, in bytes.
    pub page_bytes_max: usize,
    /// The most records one page may hold.
    pub page_records_max: usize,
    /// The most pages one list may have.
    pub pages_max: u32,
    /// What it may be asked with: what a job, or a live request, writes as `query`, before the method's own is added.
    pub query_schema: Option<Json>,
    /// What a job, or a live request, may write as `body`, likewise.
    pub body_schema: Option<Json>,
}

impl Method {
    /// The members of a job's query that its own fields speak of (`{{query.ticket_id}}`).
    pub fn takes_from_query(&self) -> Vec<String> {
        let trees = [Some(&self.query), self.body.as_ref()].into_iter().flatten();
        let in_trees = trees.flat_map(|tree| tree.templates().into_iter().map(|(_, template)| template));
        let headers = self.headers.iter().map(|(_, template)| template);
        let all = [&self.path, &self.base_url].into_iter().chain(headers).chain(in_trees);
        let names =
            all.flat_map(Template::paths).filter(|path| path.first().is_some_and(|root| root == "query"));
        names.filter_map(|path| path.get(1).cloned()).collect()
    }
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyFormat {
    /// JSON.
    #[default]
    Json,
    /// As a form: `a=1&b[]=2`.
    Form,
    /// XML; the body has one member, the outermost element.
    Xml,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnswerFormat {
    /// JSON.
    #[default]
    Json,
    /// A record in each line, as JSON (<https://github.com/ndjson/ndjson-spec>).
    NdJson,
    /// A record in each line (RFC 4180); the first line names the members.
    Csv,
    /// XML, read as the JSON object that has the outermost element.
    Xml,
}

/// How an array becomes query parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueryArray {
    /// `a[]=1&a[]=2`.
    #[default]
    Brackets,
    /// `a=1&a=2`.
    Repeat,
    /// `a=1,2`.
    Comma,
    /// `a[0]=1&a[1]=2`.
    Indices,
}

/// How a list continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pagination {
    /// One request is the whole list.
    None,
    /// The response names the next page.
    Cursor(CursorPagination),
    /// Pages are numbered.
    Page {
        /// The parameter that takes the page's number.
        param: String,
        /// The first page's number.
        start: u64,
        /// The page's size.
        limit: Option<Limit>,
    },
    /// The list is read from an offset on.
    Offset {
        /// The parameter that takes the offset.
        param: String,
        /// The page's size.
        limit: Limit,
    },
    /// The response's `Link` header names the next page as `rel="next"`.
    LinkHeader {
        /// The page's size.
        limit: Option<Limit>,
    },
    /// The list is read from an offset on, by the headers `Range` and `Content-Range` (RFC 9110, section 14, with a unit
    /// of the source's own).
    Range {
        /// What is counted, such as `items`.
        unit: String,
        /// Records a page.
        size: u64,
    },
    /// Expressions make the parameters of each page.
    Dynamic {
        /// Gives those of the first page; sees `query` and `body`.
        first: Option<Expression>,
        /// Gives those of the page after; sees `paginationValues`, and the answer's `body`, `headers` and `count`.
        next: Expression,
        /// Where they are sent.
        send_in: SendIn,
    },
}

impl Pagination {
    /// The page's size, where it can be asked for.
    pub fn limit(&self) -> Option<&Limit> {
        match self {
            Self::Cursor(CursorPagination { limit, .. })
            | Self::Page { limit, .. }
            | Self::LinkHeader { limit } => limit.as_ref(),
            Self::Offset { limit, .. } => Some(limit),
            Self::None | Self::Range { .. } | Self::Dynamic { .. } => None,
        }
    }
}

/// What ends a list, beside what its pagination says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ends {
    /// Where the answer tells whether there is more. It decides.
    pub told: Option<Told>,
    /// Whether a numbered list goes on after a page that is shorter than what was asked for, up to an empty one.
    pub only_when_empty: bool,
    /// Statuses by which a page after the first one says that there is none.
    pub statuses: Vec<u16>,
}

/// Where an answer's body tells whether there is more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// True when there is.
    HasNext(Vec<String>),
    /// True when there is not.
    IsLast(Vec<String>),
    /// The number of records of the whole list.
    Records(Vec<String>),
    /// The number of its pages.
    Pages(Vec<String>),
}

impl Told {
    /// Where in the body.
    pub fn path(&self) -> &[String] {
        match self {
            Self::HasNext(path) | Self::IsLast(path) | Self::Records(path) | Self::Pages(path) => path,
        }
    }
}

/// Pagination by a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorPagination {
    /// Where the response holds the cursor.
    pub source: CursorSource,
    /// Whether the cursor is the next page's URL rather than a token.
    pub is_link: bool,
    /// The parameter that takes the token.
    pub param: String,
    /// Where the token is sent.
    pub send_in: SendIn,
    /// The page's size.
    pub limit: Option<Limit>,
}

/// Where a response holds its cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CursorSource {
    /// In the body, at this path.
    Body(Vec<String>),
    /// In the header of this name, lower case.
    Header(String),
    /// In the page's last record, at this path.
    LastRecord(Vec<String>),
}

/// Where a parameter is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendIn {
    /// In the query string.
    Query,
    /// In the JSON body.
    Body,
}

/// A page's size and the parameter that asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The parameter's name.
    pub param: String,
    /// Records a page.
    pub value: u64,
}
