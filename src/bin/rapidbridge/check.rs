//! `rapidbridge integration check`: makes the requests of one method and shows what was sent, what came back, which cursor it
//! took and why it stopped.

use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rapidbridge::definition::integration::{CursorSource, Grant, GrantKind, Method, Pagination, Told};
use rapidbridge::definition::unified::layered;
use rapidbridge::definition::{Account, Checked, Document, Integration, Kind};
use rapidbridge::egress::Egress;
use rapidbridge::engine::budget::Budget;
use rapidbridge::engine::cursor::Cursor;
use rapidbridge::engine::seam::{FetchRequest, Page, SendGuard, Source as _};
use rapidbridge::json::{self, Json};
use rapidbridge::nearest::nearest;
use rapidbridge::source::witness::{Came, Sent, Witness};
use rapidbridge::source::{Http, HttpSource, grant};
use serde_json::Value;

use crate::paint::{BOLD, CYAN, DIM, GREEN, RED, YELLOW, short};
use crate::{dev, files, run};

/// Memory for one page.
const PAGE_BYTES_MAX: usize = 64 << 20;
/// How much of a record or a body is shown.
const SHOWN_CHARS_MAX: usize = 2000;
/// Sizes that APIs like to cap pages at: a first page of so many may not be the whole list.
const USUAL_CAPS: [usize; 8] = [10, 20, 25, 30, 50, 100, 200, 250];
/// Headers of answers that say something about pages and limits.
const TELLING: [&str; 6] = ["content-type", "link", "content-range", "retry-after", "etag", "location"];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Files (YAML or JSON) or folders with the integration and an account of it
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// The resource to read
    #[arg(long)]
    resource: String,
    /// Its method
    #[arg(long, default_value = "list")]
    method: String,
    /// The integration, when the files hold several
    #[arg(long, value_name = "NAME")]
    integration: Option<String>,
    /// The account, when the files hold several
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// A parameter, as a node's query would have it; may be given several times
    #[arg(long = "query", value_name = "NAME=VALUE", value_parser = run::pair)]
    query: Vec<(String, String)>,
    /// All parameters as a JSON object; --query comes on top
    #[arg(long, value_name = "JSON")]
    query_json: Option<String>,
    /// The body, as a node would have it
    #[arg(long, value_name = "JSON")]
    body: Option<String>,
    /// The id of a record, for methods that take one
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// How many pages to read
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pages: u32,
    /// How many records of each page to show
    #[arg(long, value_name = "N", default_value_t = 1)]
    records: usize,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let documents = files::read(&options.paths, "")?;
    let (integration, account) = chosen(&documents, &options)?;
    let method = method(&integration, &options)?.clone();
    let http = Http::new(Egress::new(dev::own_networks()), PAGE_BYTES_MAX)?.watched(Arc::new(Shown));
    let account = match integration.grant.as_ref().filter(|grant| grant.fits(&account)) {
        Some(grant) => with_token(&http, grant, account).await?,
        None => account,
    };
    let source = HttpSource::new(Arc::new(integration), Arc::new(account), http);
    let mut request = request(&options)?;
    let (mut total, mut before) = (0, Vec::new());
    for number in 1..=options.pages {
        anstream::println!("{BOLD}page {number}{BOLD:#}");
        let room = Budget::new(PAGE_BYTES_MAX * 2, PAGE_BYTES_MAX).begin(0).await;
        let page = match source.fetch(&request, &room, &Always).await {
            Ok(page) => page,
            Err(error) => {
                anstream::println!("  {RED}{error}{RED:#}");
                if let Some(raw) = &error.raw_response {
                    anstream::println!("  {}", short(raw, SHOWN_CHARS_MAX));
                }
                return Ok(ExitCode::FAILURE);
            }
        };
        total += page.records.len();
        anstream::println!("  {GREEN}{} records{GREEN:#} in {} bytes", page.records.len(), page.body.len());
        for index in 0..page.records.len().min(options.records) {
            anstream::println!("  {DIM}record{DIM:#} {}", short(page.record(index), SHOWN_CHARS_MAX));
        }
        let records: Vec<String> =
            (0..page.records.len()).map(|index| page.record(index).to_owned()).collect();
        if !records.is_empty() && records == before {
            anstream::println!(
                "  {RED}these are the records of the page before{RED:#}: the API takes no notice of the page that it was \
                 asked for; check the pagination's parameter"
            );
            return Ok(ExitCode::FAILURE);
        }
        before = records;
        let Some(next) = page.next.clone() else {
            anstream::println!("  {CYAN}the list ends{CYAN:#}: {}", why_ended(&method, &page));
            advise(&method, &page, number);
            let pages = if number == 1 { "page" } else { "pages" };
            anstream::println!("\n{GREEN}{total} records in {number} {pages}, the whole list{GREEN:#}");
            return Ok(ExitCode::SUCCESS);
        };
        if next == request.cursor {
            anstream::println!("  {RED}the next page is this one again{RED:#}: {}", shown(&next));
            return Ok(ExitCode::FAILURE);
        }
        anstream::println!("  {CYAN}next{CYAN:#} {}", shown(&next));
        request.cursor = next;
    }
    let pages = if options.pages == 1 { "page" } else { "pages" };
    anstream::println!(
        "\n{total} records in {} {pages}; there is more (--pages reads further)",
        options.pages
    );
    Ok(ExitCode::SUCCESS)
}

/// The integration and the account that are meant.
fn chosen(documents: &[Document], options: &Options) -> anyhow::Result<(Integration, Account)> {
    let checked: Vec<Checked> = documents.iter().filter_map(|document| Checked::of(document).ok()).collect();
    let integrations: Vec<&Integration> = checked.iter().filter_map(Checked::integration).collect();
    let named = |integration: &&Integration| {
        options.integration.as_deref().is_none_or(|name| name == integration.name.as_str())
    };
    let of_name: Vec<&Integration> = integrations.iter().copied().filter(named).collect();
    let [integration] = of_name.as_slice() else {
        let names: Vec<&str> = integrations.iter().map(|integration| integration.name.as_str()).collect();
        bail!(
            "name one of these by --integration: {}",
            if names.is_empty() { "(there is none)".to_owned() } else { names.join(", ") }
        );
    };
    let accounts = checked.iter().filter_map(Checked::account);
    let accounts: Vec<&Account> =
        accounts.filter(|account| account.integration == integration.name).collect();
    let meant = |account: &&Account| options.account.as_deref().is_none_or(|id| id == account.id.as_str());
    let of_id: Vec<&Account> = accounts.iter().copied().filter(meant).collect();
    match of_id.as_slice() {
        [account] => Ok((mapped(documents, integration, account), (*account).clone())),
        [] => bail!(
            "there is no account of {:?} in {}; add a file with kind: integrated_account",
            integration.name.as_str(),
            files::paths_text(&options.paths)
        ),
        _ => {
            let ids: Vec<&str> = accounts.iter().map(|account| account.id.as_str()).collect();
            bail!("name one of these by --account: {}", ids.join(", "))
        }
    }
}

/// The integration with its mappings as the files' models and the account change them.
fn mapped(documents: &[Document], integration: &Integration, account: &Account) -> Integration {
    let of_name = |it: &&Document| it.kind == Kind::Integration && it.id == integration.name.as_str();
    let changes = account.unified_override.as_ref();
    let changes: Option<Value> = changes.and_then(|changes| serde_json::from_str(changes.as_str()).ok());
    let document = documents.iter().find(of_name);
    let laid = document.and_then(|document| layered(document, documents, changes.as_ref()));
    laid.and_then(|laid| Integration::from_document(&laid).ok()).unwrap_or_else(|| integration.clone())
}

fn method<'i>(integration: &'i Integration, options: &Options) -> anyhow::Result<&'i Method> {
    let own = integration.resources.get(&options.resource).map(|methods| methods.keys().collect());
    let mapped = || integration.unified.get(&options.resource).map(|methods| methods.keys().collect());
    let methods: Option<Vec<&String>> = own.or_else(mapped);
    let Some(methods) = methods else {
        let known = integration.resources.keys().chain(integration.unified.keys());
        let known: Vec<&str> = known.map(String::as_str).collect();
        let hint = nearest(&options.resource, known.iter().copied()).map_or_else(
            || format!("there are {}", known.join(", ")),
            |near| format!("did you mean {near:?}?"),
        );
        bail!("the integration has no resource {:?}; {hint}", options.resource);
    };
    integration.method(&options.resource, &options.method).with_context(|| {
        let known: Vec<&str> = methods.into_iter().map(String::as_str).collect();
        format!("{:?} has no method {:?}; it has {}", options.resource, options.method, known.join(", "))
    })
}

fn request(options: &Options) -> anyhow::Result<FetchRequest> {
    let query = run::arguments("--query-json", options.query_json.as_deref(), &options.query)?;
    let body = options.body.as_deref().map(Json::parse).transpose().context("--body is no JSON")?;
    let first = FetchRequest::first(&options.resource, &options.method, rapidbridge::clock::now());
    Ok(FetchRequest { id: options.id.clone(), query, body, attempts: Some(1), ..first })
}

/// A client gets a token of its own. A refresh token may work only once, and then is the account's, not this command's.
async fn with_token(http: &Http, grant: &Grant, mut account: Account) -> anyhow::Result<Account> {
    match &grant.kind {
        GrantKind::RefreshToken(_) if account.credentials.contains_key("access_token") => Ok(account),
        GrantKind::RefreshToken(_) => bail!(
            "the account has a refresh token only, which this would use up; give it an access_token as well to check with"
        ),
        GrantKind::ClientCredentials | GrantKind::Login(_) | GrantKind::Assertion(_) => {
            let granted =
                grant::renew(http, grant, &account).await.map_err(|error| anyhow::anyhow!("{error}"))?;
            anstream::println!("{GREEN}token made{GREEN:#}\n");
            account.credentials.insert("access_token".to_owned(), granted.access_token);
            Ok(account)
        }
    }
}

/// Prints each exchange.
#[derive(Debug)]
struct Shown;

impl Witness for Shown {
    fn sent(&self, sent: &Sent) {
        anstream::println!("  {CYAN}→{CYAN:#} {BOLD}{} {}{BOLD:#}", sent.method, sent.url);
        for (name, value) in &sent.headers {
            anstream::println!("    {DIM}{name}:{DIM:#} {value}");
        }
        if let Some(body) = &sent.body {
            anstream::println!("    {}", short(body, SHOWN_CHARS_MAX));
        }
    }

    fn came(&self, came: &Came) {
        anstream::println!("  {CYAN}←{CYAN:#} {BOLD}{}{BOLD:#}", came.status);
        for (name, value) in &came.headers {
            if TELLING.contains(&name.as_str()) || name.contains("limit") || name.contains("cursor") {
                anstream::println!("    {DIM}{name}:{DIM:#} {}", short(value, SHOWN_CHARS_MAX));
            }
        }
    }
}

/// Nobody else reads this list.
struct Always;

impl SendGuard for Always {
    fn permit(&self) -> Option<u64> {
        Some(1)
    }

    fn interrupted(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

fn shown(cursor: &Cursor) -> String {
    match cursor {
        Cursor::Start => "the beginning".to_owned(),
        Cursor::Token(token) => format!("cursor {}", short(token, SHOWN_CHARS_MAX)),
        Cursor::Link(link) => format!("link {}", short(link, SHOWN_CHARS_MAX)),
        Cursor::Page(page) => format!("page {page}"),
        Cursor::Offset(offset) => format!("offset {offset}"),
    }
}

/// Why there is no page after this one.
fn why_ended(method: &Method, page: &Page) -> String {
    let body = std::str::from_utf8(&page.body).unwrap_or_default();
    let value = |path: &[String]| json::get(body, path);
    if let Some(told) = &method.ends.told
        && let Some(value) = value(told.path())
    {
        let what = match told {
            Told::HasNext(_) | Told::IsLast(_) => "",
            Told::Records(_) => ", the number of all records",
            Told::Pages(_) => ", the number of all pages",
        };
        return format!("{} is {value}{what}", told.path().join("."));
    }
    match &method.pagination {
        Pagination::None => "the method has no pagination, so one request is all".to_owned(),
        Pagination::Cursor(rule) => match &rule.source {
            CursorSource::Body(path) => match value(path) {
                Some(value) => format!("{} is {value}", path.join(".")),
                None => format!("{} is not there; if the list goes on, check cursor_path", path.join(".")),
            },
            CursorSource::Header(name) => format!("the answer has no header {name}"),
            CursorSource::LastRecord(path) => format!("the page has no record with {}", path.join(".")),
        },
        Pagination::LinkHeader { .. } => "the answer has no Link with rel=\"next\"".to_owned(),
        Pagination::Page { .. } | Pagination::Offset { .. } if page.records.is_empty() => {
            "the page is empty".to_owned()
        }
        Pagination::Page { .. } | Pagination::Offset { .. } => {
            format!("the page holds {} records, fewer than were asked for", page.records.len())
        }
        Pagination::Range { .. } => "Content-Range says so, or is not there".to_owned(),
        Pagination::Dynamic { .. } => "the expression gives no further parameters".to_owned(),
    }
}

/// A first page that lacks what was declared to tell the end, or that looks like a cap, not like the end.
fn advise(method: &Method, page: &Page, number: u32) {
    if let Some(told) = &method.ends.told
        && number == 1
        && json::get(std::str::from_utf8(&page.body).unwrap_or_default(), told.path()).is_none()
    {
        anstream::println!(
            "  {YELLOW}!{YELLOW:#} {} is not there, which is declared to tell whether there is more; check the path",
            told.path().join(".")
        );
    }
    let is_numbered = matches!(method.pagination, Pagination::Page { .. } | Pagination::Offset { .. });
    let by_length = is_numbered && method.ends.told.is_none() && !method.ends.only_when_empty;
    if by_length && number == 1 && USUAL_CAPS.contains(&page.records.len()) {
        anstream::println!(
            "  {YELLOW}!{YELLOW:#} {} looks like the most that this API sends on a page: if it is, max_limit: {0}, or the list is cut off here",
            page.records.len()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(pagination: &str, body: &str, records: usize) -> String {
        let text = format!(
            "kind: integration\nname: x\nbase_url: https://x.example\nresources: {{ r: {{ list: {{ path: /r, pagination: {pagination} }} }} }}"
        );
        let documents = rapidbridge::definition::read_files([("x.yaml", text.as_str())], &|_| None).unwrap();
        let integration = Integration::from_document(&documents[0]).unwrap();
        let page =
            Page { body: body.to_owned().into(), records: vec![0..1; records], next: None, replayable: true };
        why_ended(integration.method("r", "list").unwrap(), &page)
    }

    #[test]
    fn the_reason_of_an_end_is_what_the_answer_says() {
        let cursor = "{ format: cursor, cursor_path: meta.next }";
        assert_eq!(ended(cursor, r#"{"meta":{"next":null}}"#, 3), "meta.next is null");
        assert!(ended(cursor, "{}", 3).contains("meta.next is not there"));
        let more = "{ format: cursor, cursor_path: meta.next, has_next_path: more }";
        assert_eq!(ended(more, r#"{"more":false}"#, 3), "more is false");
        assert_eq!(ended("{ format: page, limit_param: n }", "[]", 0), "the page is empty");
        assert!(ended("{ format: page, limit_param: n }", "[]", 7).contains("7 records, fewer"));
        assert!(
            ended("{ format: page, total_pages_path: pages }", r#"{"pages":2}"#, 7).contains("pages is 2")
        );
    }
}
