//! Small definitions for this room's tests.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Millis;
use crate::definition::integration::{
    AnswerFormat, Authorization, BodyFormat, Ends, Method, OnUnauthorized, Pagination, QueryArray,
    RateLimitRule, RetryPolicy,
};
use crate::definition::{Account, Integration};
use crate::engine::seam::FetchRequest;
use crate::json::Json;
use crate::template::{Template, Tree};

pub(super) fn literal(json: &str) -> Tree {
    Tree::Literal(Json::parse(json).unwrap())
}

pub(super) fn object(members: &[(&str, Tree)]) -> Tree {
    Tree::Object(members.iter().map(|(key, tree)| ((*key).to_owned(), tree.clone())).collect())
}

pub(super) fn account(context: &str, credentials: &[(&str, &str)]) -> Account {
    Account {
        id: "acme".parse().unwrap(),
        integration: "helpdesk".parse().unwrap(),
        tenant_id: None,
        context: Json::parse(context).unwrap(),
        credentials: credentials.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned().into())).collect(),
        unified_override: None,
    }
}

pub(super) fn request(resource: &str, method: &str) -> FetchRequest {
    FetchRequest::first(resource, method, Millis(1_769_846_400_000))
}

/// `GET /tickets`: the whole body is the record, or the list.
pub(super) fn method() -> Method {
    Method {
        http_method: "GET".to_owned(),
        base_url: Template::literal("https://helpdesk.example"),
        authorization: Authorization::None,
        path: Template::parse("/tickets").unwrap(),
        headers: Vec::new(),
        query: object(&[]),
        query_array: QueryArray::Brackets,
        body: None,
        body_format: BodyFormat::Json,
        query_in_body: false,
        answer_format: AnswerFormat::Json,
        error_expression: None,
        response_path: Vec::new(),
        missing_is_empty: false,
        pagination: Pagination::None,
        ends: Ends::default(),
        replayable: true,
        timeout: Duration::from_secs(10),
        page_bytes_max: 1 << 20,
        page_records_max: 1000,
        pages_max: 1000,
        query_schema: None,
        body_schema: None,
    }
}

/// An integration without methods.
pub(super) fn integration(base_url: &str) -> Integration {
    Integration {
        name: "helpdesk".parse().unwrap(),
        label: "Helpdesk".to_owned(),
        base_url: Template::parse(base_url).unwrap(),
        authorization: Authorization::None,
        grant: None,
        retry: RetryPolicy { base: Duration::ZERO, max: Duration::ZERO, ..RetryPolicy::default() },
        rate_limit: RateLimitRule::default(),
        on_unauthorized: OnUnauthorized::Fail,
        unified: std::collections::BTreeMap::new(),
        resources: BTreeMap::new(),
    }
}
