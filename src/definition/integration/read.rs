//! From a document to an integration.

use std::collections::BTreeMap;

use url::Url;

use super::method::Defaults;
use super::{Authorization, Integration, Method, OnUnauthorized, RateLimitRule, RetryPolicy};
use super::{authorization, credentials, limits, method};
use crate::definition::check::{Fields, Spot};
use crate::definition::unified;
use crate::definition::{BOOKKEEPING, is_plain_name};
use crate::id::IntegrationName;
use crate::template::Template;

/// The most methods an integration may have.
const METHODS_MAX: usize = 2000;

pub(super) fn integration(root: &Spot<'_>) -> Option<Integration> {
    let fields = root.fields()?.unwrapped("config")?;
    fields.ignore(BOOKKEEPING);
    fields.ignore(&["id", "category", "sharing", "is_beta", "version", "can_install", "description"]);
    fields.ignore(&["logo", "icon", "tool_tags", "api_documentation_url"]);
    fields.not_yet(&["webhook", "actions"], "leave it out; only requests that a sync job makes are used");
    let grant = fields.or("credentials", None, credentials::read);
    let name: Option<IntegrationName> = fields.required("name").and_then(|spot| spot.parsed());
    let label = fields.maybe("label", Spot::text);
    let base_url = fields.required("base_url").and_then(|spot| base_url(&spot));
    let authorization = fields.or("authorization", Authorization::None, authorization::read);
    let retry = fields.or("retry", RetryPolicy::default(), limits::retry);
    let rate_limit = fields.or("rate_limit", RateLimitRule::default(), limits::rate_limit);
    let on_unauthorized = fields.or("on_unauthorized", OnUnauthorized::Fail, |spot| {
        spot.choice(&[("fail", OnUnauthorized::Fail), ("park", OnUnauthorized::Park)])
    });
    let defaults = Defaults::read(&fields);
    // Without sound defaults the methods are still looked through, so that all problems come at once.
    let fallback = Defaults::default();
    let (no_url, no_authorization) = (Template::literal(""), Authorization::None);
    let way = method::Way {
        base_url: base_url.as_ref().unwrap_or(&no_url),
        authorization: authorization.as_ref().unwrap_or(&no_authorization),
    };
    let resources = resources(&fields, defaults.as_ref().unwrap_or(&fallback), way);
    let unified = unified::mappings(&fields, resources.as_ref());
    fields.finish();
    defaults?;
    let name = name?;
    Some(Integration {
        label: label?.unwrap_or(name.as_str()).to_owned(),
        name,
        base_url: base_url?,
        authorization: authorization?,
        grant: grant?,
        retry: retry?,
        rate_limit: rate_limit?,
        on_unauthorized: on_unauthorized?,
        resources: resources?,
        unified: unified?,
    })
}

/// The address is never repeated: variables may have put anything in it.
pub(super) fn base_url(spot: &Spot<'_>) -> Option<Template> {
    const HINT: &str = "write it as https://api.example.com or https://{{subdomain}}.example.com";
    let template = spot.template()?;
    check_roots(spot, &template)?;
    let literal: String = template.literal_parts().collect();
    let message = if literal.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        "a URL has no spaces, line breaks or backslashes"
    } else if literal.contains(['?', '#']) {
        "the base URL ends with a path; parameters belong under query"
    } else if literal.contains('@') {
        "a URL must not hold a user name or password; they belong under authorization"
    } else if template.is_literal() {
        match Url::parse(template.source()) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => return Some(template),
            Ok(_) => "only http and https can be called",
            Err(_) => "this is no URL",
        }
    } else if ["http://", "https://", "{{"].iter().any(|start| template.source().starts_with(start)) {
        return Some(template);
    } else {
        "only http and https can be called"
    };
    spot.problem(message, Some(HINT));
    None
}

fn resources(
    fields: &Fields<'_>,
    defaults: &Defaults,
    way: method::Way<'_>,
) -> Option<BTreeMap<String, BTreeMap<String, Method>>> {
    let spot = fields.required("resources")?;
    let entries = spot.entries()?;
    if entries.is_empty() {
        spot.problem(
            "an integration needs a resource",
            Some("resources: {tickets: {list: {path: /tickets}}}"),
        );
        return None;
    }
    let mut resources = BTreeMap::new();
    let (mut good, mut count) = (true, 0);
    for (resource, spot) in entries {
        good &= named(resource, &spot);
        let mut methods = BTreeMap::new();
        for (name, spot) in spot.entries().unwrap_or_default() {
            good &= named(name, &spot);
            count += 1;
            match method::read(&spot, name, defaults, way) {
                Some(method) => drop(methods.insert(name.to_owned(), method)),
                None => good = false,
            }
        }
        if spot.value().as_object().is_none_or(|methods| methods.is_empty()) {
            good = false;
            spot.problem("a resource needs a method", Some("list: {path: /tickets}"));
        }
        resources.insert(resource.to_owned(), methods);
    }
    if count > METHODS_MAX {
        spot.problem(&format!("at most {METHODS_MAX} methods are allowed"), None);
        return None;
    }
    good.then_some(resources)
}

fn named(name: &str, spot: &Spot<'_>) -> bool {
    let plain = is_plain_name(name);
    if !plain {
        let message = format!("{name:?} is no name");
        spot.problem_of_key(&message, Some("use letters, digits, '_', '-' and '/'"));
    }
    plain
}

/// Refuses placeholders that only a job knows.
pub(super) fn check_roots(spot: &Spot<'_>, template: &Template) -> Option<()> {
    const OF_JOBS: [&str; 4] = ["args", "resources", "sync_job_run", "previous_run_date"];
    let foreign =
        template.paths().into_iter().find(|path| path.first().is_some_and(|root| OF_JOBS.contains(&&**root)));
    let Some(path) = foreign else { return Some(()) };
    spot.problem(
        &format!("{{{{{}}}}} is known to sync jobs only", path.join(".")),
        Some("an integration knows credentials, context, and in its methods id, query and body"),
    );
    None
}
