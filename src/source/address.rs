//! The address of a request: base URL and path, or a link the source gave. Nothing leads to another origin
//! than the base URL's, because the credentials go where the request goes.

use url::{Position, Url};

use crate::definition::integration::Method;
use crate::source::failure::Failure;
use crate::source::scope::{BaseScope, PathScope, RequestScope};
use crate::template::{Scope, Template};

/// A base URL for this account.
pub(super) fn base(base_url: &Template, scope: &dyn Scope) -> Result<Url, Failure> {
    let text = base_url.text(&BaseScope(scope)).map_err(|error| {
        let what = format!("base_url can't be filled in: {error}; set the value in the account's context");
        Failure::permanent("template_error", what)
    })?;
    let invalid = |why: &str| {
        let what =
            format!("base_url is no usable address: {why}; check it, and the account's context values in it");
        Failure::permanent("invalid_base_url", what)
    };
    let url = Url::parse(&text).map_err(|error| invalid(&error.to_string()))?;
    // A whole URL where a part of one belongs: the parser would take its scheme for the host.
    if text.matches("://").count() > 1 {
        return Err(invalid("it holds a second address"));
    }
    if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
        return Err(invalid("it must begin with https:// or http:// and a host"));
    }
    if has_userinfo(&url) {
        return Err(invalid("it must not contain a user name or password; use authorization"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("it must not contain '?' or '#'; use the method's query"));
    }
    Ok(url)
}

/// The address of `method` under `base`. The path may hold a query of its own.
pub(super) fn of_method(base: &Url, method: &Method, scope: &RequestScope<'_>) -> Result<Url, Failure> {
    let path = method.path.text(&PathScope(scope)).map_err(|error| {
        let what = format!("the path can't be filled in: {error}; the request needs that value");
        Failure::permanent("template_error", what)
    })?;
    let invalid =
        |why: &str| Failure::permanent("invalid_path", format!("{why}; check the method's path and the id"));
    // The parser would resolve them, so that an id of `..` asks for something else than a record.
    let only_path = path.split(['?', '#']).next().unwrap_or_default();
    let is_dots = |segment: &str| matches!(segment.to_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if only_path.split(['/', '\\']).any(is_dots) {
        return Err(invalid("a segment of the path is '.' or '..'"));
    }
    let prefix = base[..Position::AfterPath].trim_end_matches('/');
    let glue = if path.is_empty() || path.starts_with(['/', '?']) { "" } else { "/" };
    let mut url =
        Url::parse(&format!("{prefix}{glue}{path}")).map_err(|error| invalid(&error.to_string()))?;
    url.set_fragment(None);
    if url.origin() != base.origin() {
        return Err(invalid("the path leads away from the base URL"));
    }
    Ok(url)
}

/// The address `link` stands for, seen from `from`, if it has the base URL's origin.
pub(super) fn of_link(base: &Url, from: &Url, link: &str) -> Result<Url, Failure> {
    let mut url = from.join(link).map_err(|error| {
        let what =
            format!("the link to the next page is no address ({error}); check the pagination's cursor_path");
        Failure::permanent("invalid_link", what)
    })?;
    url.set_fragment(None);
    if url.origin() != base.origin() || has_userinfo(&url) {
        let what = format!(
            "the link to the next page leads to {}, another origin than the base URL's {}; \
             credentials are sent to the integration's own origin only, so it was not followed",
            url.origin().ascii_serialization(),
            base.origin().ascii_serialization()
        );
        return Err(Failure::permanent("cross_origin_link", what));
    }
    Ok(url)
}

/// Takes the parameters for which `unwanted(name, value)` holds out of the query, and leaves the others byte
/// for byte as they are.
pub(super) fn remove_params(url: &mut Url, unwanted: impl Fn(&str, &str) -> bool) {
    let Some(query) = url.query() else { return };
    let is_kept = |part: &&str| {
        let mut decoded = url::form_urlencoded::parse(part.as_bytes());
        decoded.next().is_none_or(|(name, value)| !unwanted(&name, &value))
    };
    let kept: Vec<&str> = query.split('&').filter(is_kept).collect();
    let kept = kept.join("&");
    url.set_query((!kept.is_empty()).then_some(&kept));
}

/// Whether the query has a parameter of this name.
pub(super) fn has_param(url: &Url, name: &str) -> bool {
    url.query_pairs().any(|(key, _)| key == name)
}

fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seam::FetchRequest;
    use crate::source::testing::{account, method, request};
    use crate::template::Template;

    fn address(base_url: &str, path: &str, context: &str, request: &FetchRequest) -> Result<String, String> {
        let base_url = Template::parse(base_url).unwrap();
        let mut method = method();
        method.path = Template::parse(path).unwrap();
        let account = account(context, &[("token", "t0k3n")]);
        let scope = RequestScope { request, account: &account };
        let url = base(&base_url, &scope).and_then(|base| of_method(&base, &method, &scope));
        url.map(String::from).map_err(|failure| failure.error.to_owned())
    }

    #[test]
    fn base_and_path_are_joined() {
        let mut request = request("tickets", "get");
        request.id = Some("a/b?c".to_owned());
        for (base, path, expected) in [
            ("https://x.example/api/v2/", "/tickets", "https://x.example/api/v2/tickets"),
            ("https://x.example", "tickets", "https://x.example/tickets"),
            ("https://x.example/api", "", "https://x.example/api"),
            ("https://x.example/api", "/t/{{id}}", "https://x.example/api/t/a%2Fb%3Fc"),
            ("https://x.example", "/s?kind=a", "https://x.example/s?kind=a"),
            ("https://{{sub}}.example:8443", "/t", "https://acme.example:8443/t"),
            ("{{instance_url}}/v1", "/t", "https://na1.example/v1/t"),
            ("http://{{host}}", "/bot{{token}}/x", "http://127.0.0.1:81/bott0k3n/x"),
        ] {
            let context = r#"{"sub":"acme","instance_url":"https://na1.example/","host":"127.0.0.1:81"}"#;
            assert_eq!(address(base, path, context, &request).as_deref(), Ok(expected), "{base} {path}");
        }
    }

    #[test]
    fn a_value_cannot_lead_to_another_host() {
        let request = request("tickets", "list");
        for sub in [
            "evil.example/",
            "evil.example#",
            "u@evil.example",
            "evil.example:443/",
            "https://evil.example/",
            "a\\\\b",
            "",
        ] {
            let context = format!(r#"{{"sub":"{sub}"}}"#);
            let url = address("https://{{sub}}.example.com", "/t", &context, &request);
            assert!(!url.as_ref().is_ok_and(|url| url.contains("evil.example/")), "{sub}: {url:?}");
        }
        assert_eq!(address("ftp://x", "/t", "{}", &request).unwrap_err(), "invalid_base_url");
        assert_eq!(address("https://u:p@x", "/t", "{}", &request).unwrap_err(), "invalid_base_url");
        assert_eq!(address("https://x", "/t/{{id}}", "{}", &request).unwrap_err(), "template_error");
    }

    #[test]
    fn dots_are_no_ids() {
        for id in [".", "..", "%2e%2E"] {
            let mut request = request("tickets", "get");
            request.id = Some(id.to_owned());
            let result = address("https://x.example", "/t/{{id}}/c", "{}", &request);
            // A percent sign is encoded itself, so the third is an ordinary, if odd, id.
            assert_eq!(result.is_err(), id.starts_with('.'), "{id}: {result:?}");
        }
    }

    #[test]
    fn links_stay_at_home() {
        let base = Url::parse("https://x.example/api").unwrap();
        let from = Url::parse("https://x.example/api/tickets?a=1").unwrap();
        let follow = |link: &str| of_link(&base, &from, link).map(String::from).map_err(|f| f.error);
        assert_eq!(follow("?page=2").as_deref(), Ok("https://x.example/api/tickets?page=2"));
        assert_eq!(follow("/n?c=%2B#f").as_deref(), Ok("https://x.example/n?c=%2B"));
        assert_eq!(follow("https://x.example:443/n").as_deref(), Ok("https://x.example/n"));
        for link in [
            "http://x.example/n",
            "https://x.example:444/n",
            "//evil.example/n",
            "https://evil.example/n",
            "https://u:p@x.example/n",
            "https://x.example@evil.example/n",
            "javascript:alert(1)",
        ] {
            assert_eq!(follow(link).unwrap_err(), "cross_origin_link", "{link}");
        }
        assert_eq!(follow("http://[").unwrap_err(), "invalid_link");
    }

    #[test]
    fn other_parameters_stay_byte_for_byte() {
        let mut url = Url::parse("https://x.example/?a=%2b~x&key=1&b=&key=2").unwrap();
        remove_params(&mut url, |name, _| name == "key");
        assert_eq!(url.as_str(), "https://x.example/?a=%2b~x&b=");
        remove_params(&mut url, |_, _| true);
        assert_eq!(url.as_str(), "https://x.example/");
    }
}
