//! From answers to the text of a file.

use rapidbridge::definition::read_and_check;
use rapidbridge::id::ID_CHARS_MAX;

/// All that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(super) name: String,
    pub(super) base_url: String,
    pub(super) auth: Auth,
    pub(super) resource: String,
    pub(super) path: String,
    /// Where the records are in an answer; empty when the body is the list.
    pub(super) records: String,
    pub(super) paging: Paging,
    /// The parameter that says how many records a page has, and how many that are.
    pub(super) size: Option<(String, u64)>,
    /// So many requests in so much time.
    pub(super) rate_limit: Option<(u64, String)>,
}

/// How requests are authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Auth {
    Bearer,
    /// The header's name.
    Header(String),
    /// The parameter's name.
    Query(String),
    Basic,
    OAuth2 {
        authorize_url: String,
        token_url: String,
        scope: String,
    },
    ClientCredentials {
        token_url: String,
        scope: String,
    },
    None,
}

/// How the list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Paging {
    Cursor { at: String, param: String },
    Link { at: String },
    LinkHeader,
    Page { param: String, first: u64 },
    Offset { param: String },
    None,
}

impl Answers {
    /// Answers that are accepted, to be replaced one by one.
    pub(super) fn sample() -> Self {
        Self {
            name: "sample".to_owned(),
            base_url: "https://api.example.com".to_owned(),
            auth: Auth::None,
            resource: "items".to_owned(),
            path: "/items".to_owned(),
            records: String::new(),
            paging: Paging::None,
            size: None,
            rate_limit: None,
        }
    }
}

/// The file: an integration and an account of it.
pub(crate) fn render(answers: &Answers) -> String {
    let mut lines = vec![
        "# Written by `rapidbridge integration new`. docs/definitions.md explains every field; docs/writing-integrations.md has"
            .to_owned(),
        "# examples, and says what to do when something does not fit. An editor helps with the schema that `rapidbridge schema` prints."
            .to_owned(),
        "kind: integration".to_owned(),
        format!("name: {}", scalar(&answers.name)),
        format!("base_url: {}", scalar(&answers.base_url)),
    ];
    lines.extend(authorization(&answers.auth));
    lines.extend(pagination(&answers.paging, answers.size.as_ref()));
    if let Some((requests, per)) = &answers.rate_limit {
        lines.push("# What the API allows an account: docs/definitions.md#rate-limits".to_owned());
        lines.push("rate_limit:".to_owned());
        lines.push(format!("  requests: {requests}"));
        lines.push(format!("  per: {}", scalar(per)));
    }
    lines.push(
        "# Further resources, and methods such as get, create and update: docs/definitions.md#methods"
            .to_owned(),
    );
    lines.push("resources:".to_owned());
    lines.push(format!("  {}:", scalar(&answers.resource)));
    lines.push("    list:".to_owned());
    lines.push(format!("      path: {}", scalar(&answers.path)));
    if answers.records.is_empty() {
        lines
            .push("      # The whole body is the list; response_path says where it is otherwise.".to_owned());
    } else {
        lines.push(format!("      response_path: {}", scalar(&answers.records)));
    }
    lines.push("---".to_owned());
    lines.extend(account(answers));
    lines.push(String::new());
    lines.join("\n")
}

fn authorization(auth: &Auth) -> Vec<String> {
    let mut lines = vec!["# How requests are authenticated: docs/definitions.md#authorization".to_owned()];
    let mut authorization = |fields: &[(&str, &str)]| {
        lines.push("authorization:".to_owned());
        lines.extend(fields.iter().map(|(name, value)| format!("  {name}: {}", scalar(value))));
    };
    match auth {
        Auth::Bearer => authorization(&[("format", "bearer"), ("token", "{{credentials.token}}")]),
        Auth::Header(name) => authorization(&[
            ("format", "header"),
            ("header_name", name.as_str()),
            ("header_value", "{{credentials.api_key}}"),
        ]),
        Auth::Query(name) => authorization(&[
            ("format", "query"),
            ("param_name", name.as_str()),
            ("param_value", "{{credentials.api_key}}"),
        ]),
        Auth::Basic => authorization(&[
            ("format", "basic"),
            ("username", "{{credentials.username}}"),
            ("password", "{{credentials.password}}"),
        ]),
        Auth::OAuth2 { .. } | Auth::ClientCredentials { .. } => {
            authorization(&[("format", "bearer"), ("token", "{{credentials.access_token}}")]);
        }
        Auth::None => authorization(&[("format", "none")]),
    }
    let (format, urls, scope) = match auth {
        Auth::OAuth2 { authorize_url, token_url, scope } => {
            ("oauth2", vec![("authorize_url", authorize_url), ("token_url", token_url)], scope)
        }
        Auth::ClientCredentials { token_url, scope } => {
            ("oauth2_client_credentials", vec![("token_url", token_url)], scope)
        }
        Auth::Bearer | Auth::Header(_) | Auth::Query(_) | Auth::Basic | Auth::None => return lines,
    };
    lines.push(
        "# Where the access token comes from, and how it is renewed: docs/definitions.md#credentials"
            .to_owned(),
    );
    lines.push("credentials:".to_owned());
    lines.push(format!("  format: {format}"));
    lines.extend(urls.into_iter().map(|(name, url)| format!("  {name}: {}", scalar(url))));
    if !scope.is_empty() {
        lines.push(format!("  scope: {}", scalar(scope)));
    }
    lines
}

fn pagination(paging: &Paging, size: Option<&(String, u64)>) -> Vec<String> {
    let mut lines = vec!["# How lists go on, and where they end: docs/definitions.md#pagination".to_owned()];
    lines.push("pagination:".to_owned());
    let mut field = |name: &str, value: &str| lines.push(format!("  {name}: {}", scalar(value)));
    match paging {
        Paging::Cursor { at, param } => {
            field("format", "cursor");
            field("cursor_path", at);
            field("cursor_key", param);
        }
        Paging::Link { at } => {
            field("format", "cursor");
            field("cursor_path", at);
            lines.push("  is_link: true".to_owned());
        }
        Paging::LinkHeader => field("format", "link_header"),
        Paging::Page { param, first } => {
            field("format", "page");
            field("page_param", param);
            lines.push(format!("  start: {first}"));
        }
        Paging::Offset { param } => {
            field("format", "offset");
            field("offset_param", param);
        }
        Paging::None => field("format", "none"),
    }
    if let Some((param, max)) = size {
        if matches!(paging, Paging::Page { .. } | Paging::Offset { .. }) {
            lines.push(
                "  # The largest page that the API sends: a page that is shorter is the last one.".to_owned(),
            );
        }
        lines.push(format!("  limit_param: {}", scalar(param)));
        lines.push(format!("  max_limit: {max}"));
    }
    lines
}

fn account(answers: &Answers) -> Vec<String> {
    let id = account_id(&answers.name);
    let mut lines = vec![
        "# One customer's connection to it. Credentials are sealed before they are kept: docs/definitions.md#integrated_account"
            .to_owned(),
        "kind: integrated_account".to_owned(),
        format!("id: {}", scalar(&id)),
        format!("integration: {}", scalar(&answers.name)),
    ];
    let (mut context, mut credentials) = (Vec::new(), own_credentials(&answers.auth).to_vec());
    for wanted in [&answers.base_url, &answers.path].into_iter().flat_map(|text| placeholders(text)) {
        let (names, name) = match wanted {
            Wanted::Context(name) => (&mut context, name),
            Wanted::Credential(name) => (&mut credentials, name),
            Wanted::Query(_) | Wanted::Id => continue,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let filled = |name: &str| {
        let variable = format!("${{{}}}", variable(&answers.name, name));
        format!("  {}: {}", scalar(name), scalar(&variable))
    };
    if !context.is_empty() {
        lines.push("# Not secret.".to_owned());
        lines.push("context:".to_owned());
        lines.extend(context.into_iter().map(filled));
    }
    if !credentials.is_empty() {
        lines.push("credentials:".to_owned());
        for name in credentials {
            if name == "access_token" {
                lines.push("  # A token of your own, for `rapidbridge integration check`. When the account is applied,".to_owned());
                lines.push(format!(
                    "  # `rapidbridge connect {id}` lets it in, and then this line is not needed any more."
                ));
            }
            lines.push(filled(name));
        }
    }
    lines
}

fn own_credentials(auth: &Auth) -> &'static [&'static str] {
    match auth {
        Auth::Bearer => &["token"],
        Auth::Header(_) | Auth::Query(_) => &["api_key"],
        Auth::Basic => &["username", "password"],
        Auth::OAuth2 { .. } => &["client_id", "client_secret", "access_token"],
        Auth::ClientCredentials { .. } => &["client_id", "client_secret"],
        Auth::None => &[],
    }
}

/// Ids of accounts are their own, so a name that is too long to be added to can stand for both.
fn account_id(name: &str) -> String {
    let id = format!("{name}-account");
    if id.len() > ID_CHARS_MAX { name.to_owned() } else { id }
}

/// `shop-2`, `api_key` → `SHOP_2_API_KEY`.
fn variable(name: &str, field: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let variable: String = format!("{name}_{field}").chars().map(plain).collect();
    // A shell takes no variable that begins with a digit.
    if variable.starts_with(|c: char| c.is_ascii_digit()) { format!("API_{variable}") } else { variable }
}

/// What a placeholder needs.
enum Wanted<'t> {
    Context(&'t str),
    Credential(&'t str),
    Query(&'t str),
    Id,
}

/// What the placeholders of a text can't do without.
fn placeholders(text: &str) -> Vec<Wanted<'_>> {
    let inner = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(inner, _)| inner);
    let required =
        inner.filter(|inner| !["?:", ":undefined", ":null"].iter().any(|mark| inner.contains(mark)));
    let wanted = |inner| match first_path(inner).split_once('.') {
        None if first_path(inner) == "id" => Some(Wanted::Id),
        None => Some(Wanted::Context(first_path(inner))),
        Some((_, deeper)) if deeper.contains('.') => None,
        Some(("context", name)) => Some(Wanted::Context(name)),
        Some(("credentials", name)) => Some(Wanted::Credential(name)),
        Some(("query", name)) => Some(Wanted::Query(name)),
        Some(_) => None,
    };
    required.filter_map(wanted).collect()
}

/// Of `path:type|other` the path.
fn first_path(placeholder: &str) -> &str {
    placeholder.split(['|', ':']).next().unwrap_or_default().trim()
}

/// The flags of `integration check` that the path's placeholders need.
pub(super) fn check_flags(answers: &Answers) -> Vec<String> {
    let flag = |wanted: Wanted<'_>| match wanted {
        Wanted::Query(name) => Some(format!("--query {name}=...")),
        Wanted::Id => Some("--id ...".to_owned()),
        Wanted::Context(_) | Wanted::Credential(_) => None,
    };
    placeholders(&answers.path).into_iter().filter_map(flag).collect()
}

/// The variables of a file, in their order.
pub(super) fn variables(text: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    let mut before = "";
    for (index, part) in text.split("${").enumerate() {
        let name = part.split_once('}').map(|(name, _)| name).filter(|_| index > 0 && !before.ends_with('$'));
        if let Some(name) = name.filter(|name| !found.contains(name)) {
            found.push(name);
        }
        before = part;
    }
    found
}

/// Text as YAML: plain where nobody can take it for anything else, in quotes otherwise.
fn scalar(text: &str) -> String {
    const OTHERS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:".contains(c);
    let other = OTHERS.iter().any(|other| text.eq_ignore_ascii_case(other));
    // Numbers of all notations begin otherwise; a colon at the end would make a field.
    if begins && text.chars().all(plain) && !text.ends_with(':') && !other {
        return text.to_owned();
    }
    // A string of JSON is one of YAML.
    serde_json::Value::from(text).to_string()
}

/// Why the file of these answers would be refused, in the words of the check; `None` when it is accepted.
pub(super) fn refusal(answers: &Answers) -> Option<String> {
    // What stands for the variables may stand anywhere, also where an address is wanted.
    let checked = read_and_check([("new.yaml", render(answers).as_str())], &|_| {
        Some("https://api.example.com".to_owned())
    });
    let problems = checked.err()?;
    let problem = problems.iter().next()?;
    Some(match &problem.hint {
        Some(hint) => format!("{}; {hint}", problem.message),
        None => problem.message.clone(),
    })
}
