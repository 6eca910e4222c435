//! What a method's placeholders see: the request, the account's context and its credentials. The only place
//! where a credential becomes part of a text.

use secrecy::ExposeSecret;

use crate::definition::Account;
use crate::engine::seam::FetchRequest;
use crate::json::Json;
use crate::template::Scope;

/// `id`, `query.*`, `body.*`, and what the account has.
pub(super) struct RequestScope<'a> {
    /// The request being made.
    pub(super) request: &'a FetchRequest,
    /// The account it is made for.
    pub(super) account: &'a Account,
}

/// `context.*` and `credentials.*` of an account; a bare name means the context, then the credentials.
pub(super) struct AccountScope<'a>(pub(super) &'a Account);

impl AccountScope<'_> {
    fn credential(&self, name: &str) -> Option<Json> {
        self.0.credentials.get(name).map(|secret| Json::string(secret.expose_secret()))
    }
}

impl Scope for AccountScope<'_> {
    fn lookup(&self, path: &[String]) -> Option<Json> {
        let (root, rest) = path.split_first()?;
        match (root.as_str(), rest) {
            ("context", rest) => self.0.context.get(rest),
            // A credential's name may contain dots (`oauth.token`): credentials are a flat map.
            ("credentials", rest) => self.credential(&rest.join(".")),
            (name, []) => self.0.context.get(path).or_else(|| self.credential(name)),
            _ => self.0.context.get(path),
        }
    }
}

impl Scope for RequestScope<'_> {
    fn lookup(&self, path: &[String]) -> Option<Json> {
        let (root, rest) = path.split_first()?;
        match (root.as_str(), rest) {
            ("id", []) => self.request.id.as_deref().map(Json::string),
            ("query", rest) => self.request.query.get(rest),
            ("body", rest) => self.request.body.as_ref()?.get(rest),
            _ => AccountScope(self.account).lookup(path),
        }
    }
}

/// A scope for the text of a path: values are percent-encoded, so an id that contains `/` or `?` stays one
/// segment. An empty value counts as absent: without its id, a request for one record would ask for the list.
pub(super) struct PathScope<'a>(pub(super) &'a dyn Scope);

impl Scope for PathScope<'_> {
    fn lookup(&self, path: &[String]) -> Option<Json> {
        let value = self.0.lookup(path)?;
        let text = value.to_text();
        match (value.as_str(), text.is_empty()) {
            ("null", _) | (_, true) => None,
            _ => Some(Json::string(&percent_encoded(&text))),
        }
    }
}

/// A scope for the text of a base URL. A value may be a whole URL (`{{instance_url}}`); any other is encoded,
/// so that a customer's subdomain can't lead the credentials to another host.
pub(super) struct BaseScope<'a>(pub(super) &'a dyn Scope);

impl Scope for BaseScope<'_> {
    fn lookup(&self, path: &[String]) -> Option<Json> {
        let value = self.0.lookup(path)?;
        let text = value.to_text();
        if text.starts_with("https://") || text.starts_with("http://") {
            return Some(Json::string(text.trim_end_matches('/')));
        }
        Some(Json::string(&percent_encoded(&text).replace("%3A", ":")))
    }
}

/// `text` as one path segment.
pub(super) fn percent_encoded(text: &str) -> String {
    // A form's encoding differs in one character: its space is a plus, and its plus is always %2B.
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{account, request};

    fn text(scope: &dyn Scope, path: &str) -> Option<String> {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        scope.lookup(&path).map(|json| json.as_str().to_owned())
    }

    #[test]
    fn each_root_has_its_place() {
        let account = account(
            r#"{"region":"eu","token":"from context","nested":{"a":1.10}}"#,
            &[("token", "s3cret"), ("key", "k1k1")],
        );
        let mut request = request("tickets", "list");
        request.id = Some("42".to_owned());
        request.query = Json::parse(r#"{"since":12345678901234567890}"#).unwrap();
        let scope = RequestScope { request: &request, account: &account };
        for (path, expected) in [
            ("id", Some(r#""42""#)),
            ("query.since", Some("12345678901234567890")),
            ("body.a", None),
            ("context.region", Some(r#""eu""#)),
            ("credentials.token", Some(r#""s3cret""#)),
            ("token", Some(r#""from context""#)),
            ("key", Some(r#""k1k1""#)),
            ("nested.a", Some("1.10")),
            ("credentials", None),
            ("nothing", None),
        ] {
            assert_eq!(text(&scope, path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn path_values_stay_one_segment() {
        let mut request = request("tickets", "get");
        request.id = Some("a/b ?#+%ü".to_owned());
        let account = account(r#"{"empty":"","none":null}"#, &[]);
        let scope = RequestScope { request: &request, account: &account };
        assert_eq!(text(&PathScope(&scope), "id").unwrap(), r#""a%2Fb%20%3F%23%2B%25%C3%BC""#);
        assert_eq!(text(&PathScope(&scope), "empty"), None);
        assert_eq!(text(&PathScope(&scope), "none"), None);
    }
}
