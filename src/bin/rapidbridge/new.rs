//! `rapidbridge integration new`: asks a handful of questions about an API and writes the file that they make, an integration
//! with an account, to be tried by `integration check`. Flags answer questions as well.

mod ask;
mod render;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use rapidbridge::definition::read_and_check;

use crate::files;
use crate::paint::{BOLD, DIM, GREEN};
use ask::{Asker, Question, name_of, number};
use render::{Answers, Auth, Paging, check_flags, render, variables};

/// The page's size when nobody says one.
const SIZE_DEFAULT: u64 = 100;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What accounts and jobs call the integration
    #[arg(long)]
    name: Option<String>,
    /// Scheme, host and the path that all requests share; {{context.NAME}} for what differs between customers
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// How requests are authenticated [default: bearer]
    #[arg(long, value_enum, value_name = "HOW")]
    auth: Option<AuthKind>,
    /// With header or query: the header or the parameter that takes the API key [default: X-Api-Key or api_key]
    #[arg(long, value_name = "NAME")]
    key_name: Option<String>,
    /// With oauth2: where a person lets an account in
    #[arg(long, value_name = "URL")]
    authorize_url: Option<String>,
    /// With oauth2 and oauth2-client-credentials: where tokens are made
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    /// With oauth2 and oauth2-client-credentials: what is asked for [default: nothing]
    #[arg(long)]
    scope: Option<String>,
    /// The first resource
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
    /// Its path behind the base URL [default: /RESOURCE]
    #[arg(long)]
    path: Option<String>,
    /// Where the records are in the answer, such as data.items; "" when the whole body is the list [default: ""]
    #[arg(long, value_name = "PATH")]
    records: Option<String>,
    /// How the list goes on [default: none]
    #[arg(long, value_enum, value_name = "HOW")]
    pagination: Option<PagingKind>,
    /// With cursor or link: where the next cursor or link is in the answer, such as meta.next
    #[arg(long, value_name = "PATH")]
    next: Option<String>,
    /// With cursor, page or offset: the parameter that takes it [default: cursor, page or offset]
    #[arg(long, value_name = "NAME")]
    next_param: Option<String>,
    /// With page: the first page's number [default: 1]
    #[arg(long, value_name = "N")]
    first_page: Option<String>,
    /// The parameter that says how many records a page has [default: none, but limit with offset]
    #[arg(long, value_name = "NAME")]
    size_param: Option<String>,
    /// With --size-param: how many records a page has; the most that the API sends [default: 100]
    #[arg(long, value_name = "N")]
    size: Option<String>,
    /// What the API allows an account, such as 100/1m; "" for no limit [default: ""]
    #[arg(long, value_name = "N/TIME")]
    rate_limit: Option<String>,
    /// The file to write [default: NAME.yaml]
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    /// Ask nothing: flags and defaults decide
    #[arg(short, long)]
    yes: bool,
    /// Ask also where standard input is no terminal: each line of it is an answer
    #[arg(long, conflicts_with = "yes")]
    ask: bool,
}

/// How requests are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AuthKind {
    /// Authorization: Bearer, and a token
    Bearer,
    /// An API key in a header
    Header,
    /// An API key in a parameter
    Query,
    /// User and password
    Basic,
    /// OAuth 2: a person lets the account in (authorization code)
    Oauth2,
    /// OAuth 2: client id and secret alone (client credentials)
    Oauth2ClientCredentials,
    /// Not at all
    None,
}

/// How a list goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PagingKind {
    /// The body has the next cursor
    Cursor,
    /// The body has the next page's address
    Link,
    /// The header Link has the next page's address
    LinkHeader,
    /// Pages are numbered
    Page,
    /// Records are counted
    Offset,
    /// Not at all: one answer is the whole list
    None,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let asks = options.ask || (!options.yes && io::stdin().is_terminal());
    if asks {
        anstream::println!(
            "Some questions about the API; keep its documentation open. Enter takes what stands in [brackets], or leaves it out.\n"
        );
    }
    let person = asks.then(|| Box::new(io::BufReader::new(io::stdin())) as Box<dyn io::BufRead>);
    let mut asker = Asker::new(options.given(), person);
    let file = questions(&mut asker, options.force)?;
    let answers = asker.finish()?;
    let text = render(&answers);
    write(&file, &text, options.force)?;
    tell(&file, &text, &answers);
    Ok(ExitCode::SUCCESS)
}

impl Options {
    /// The questions that flags answer.
    fn given(&self) -> BTreeMap<&'static str, String> {
        let flags = [
            ("name", self.name.clone()),
            ("base-url", self.base_url.clone()),
            ("auth", self.auth.as_ref().and_then(name_of)),
            ("key-name", self.key_name.clone()),
            ("authorize-url", self.authorize_url.clone()),
            ("token-url", self.token_url.clone()),
            ("scope", self.scope.clone()),
            ("resource", self.resource.clone()),
            ("path", self.path.clone()),
            ("records", self.records.clone()),
            ("pagination", self.pagination.as_ref().and_then(name_of)),
            ("next", self.next.clone()),
            ("next-param", self.next_param.clone()),
            ("first-page", self.first_page.clone()),
            ("size-param", self.size_param.clone()),
            ("size", self.size.clone()),
            ("rate-limit", self.rate_limit.clone()),
            ("output", self.output.clone()),
        ];
        flags.into_iter().filter_map(|(flag, value)| Some((flag, value?))).collect()
    }
}

/// Asks them all; gives the file to write.
fn questions(asker: &mut Asker, force: bool) -> anyhow::Result<PathBuf> {
    let text = "Name, by which accounts and jobs refer to the integration";
    asker.text(&Question { flag: "name", text, default: None }, |answers, name| answers.name = name)?;
    let text = "Base URL: scheme, host and the path that all requests share; {{context.NAME}} for what differs between customers";
    asker.text(&Question { flag: "base-url", text, default: None }, |answers, url| answers.base_url = url)?;
    authentication(asker)?;
    let text = "First resource, such as orders";
    asker.text(&Question { flag: "resource", text, default: None }, |answers, resource| {
        answers.resource = resource
    })?;
    let default = format!("/{}", asker.answers.resource);
    asker.text(&Question { flag: "path", text: "Its path", default: Some(&default) }, |answers, path| {
        answers.path = path
    })?;
    let text =
        "Where the records are in the answer, such as data.items; nothing when the whole body is the list";
    asker.text(&Question { flag: "records", text, default: Some("") }, |answers, path| {
        answers.records = path
    })?;
    paging(asker)?;
    let text = "What the API allows an account, such as 100/1m; nothing when it doesn't say";
    asker.settle(&Question { flag: "rate-limit", text, default: Some("") }, |answers, limit| {
        answers.rate_limit = match limit.split_once('/') {
            Some((requests, per)) => Some((number(requests.trim())?, per.trim().to_owned())),
            None if limit.is_empty() => None,
            None => return Err("write so many requests in so much time: 100/1m".to_owned()),
        };
        Ok(())
    })?;
    let default = format!("{}.yaml", asker.answers.name);
    let file = RefCell::new(PathBuf::new());
    asker.settle(
        &Question { flag: "output", text: "File to write", default: Some(&default) },
        |_, name| {
            let path = Path::new(name);
            if !force && path.exists() {
                return Err(format!(
                    "{name} is there already; name another file, or write over it with --force"
                ));
            }
            *file.borrow_mut() = path.to_owned();
            Ok(())
        },
    )?;
    Ok(file.into_inner())
}

fn authentication(asker: &mut Asker) -> anyhow::Result<()> {
    let sample = || "https://api.example.com/oauth".to_owned();
    let question =
        Question { flag: "auth", text: "How are requests authenticated?", default: Some("bearer") };
    let kind = asker.choose(&question, |answers, kind| {
        answers.auth = match kind {
            AuthKind::Bearer => Auth::Bearer,
            AuthKind::Header => Auth::Header("X-Api-Key".to_owned()),
            AuthKind::Query => Auth::Query("api_key".to_owned()),
            AuthKind::Basic => Auth::Basic,
            AuthKind::Oauth2 => {
                Auth::OAuth2 { authorize_url: sample(), token_url: sample(), scope: String::new() }
            }
            AuthKind::Oauth2ClientCredentials => {
                Auth::ClientCredentials { token_url: sample(), scope: String::new() }
            }
            AuthKind::None => Auth::None,
        };
    })?;
    match kind {
        AuthKind::Bearer | AuthKind::Basic | AuthKind::None => return Ok(()),
        AuthKind::Header => {
            let text = "Header that takes the API key";
            let question = Question { flag: "key-name", text, default: Some("X-Api-Key") };
            return asker.text(&question, |answers, name| answers.auth = Auth::Header(name));
        }
        AuthKind::Query => {
            let text = "Parameter that takes the API key";
            let question = Question { flag: "key-name", text, default: Some("api_key") };
            return asker.text(&question, |answers, name| answers.auth = Auth::Query(name));
        }
        AuthKind::Oauth2 => {
            let text = "Address where a person lets an account in";
            asker.text(&Question { flag: "authorize-url", text, default: None }, |answers, url| {
                if let Auth::OAuth2 { authorize_url, .. } = &mut answers.auth {
                    *authorize_url = url;
                }
            })?;
        }
        AuthKind::Oauth2ClientCredentials => {}
    }
    let text = "Address that makes tokens";
    asker.text(&Question { flag: "token-url", text, default: None }, |answers, url| {
        if let Auth::OAuth2 { token_url, .. } | Auth::ClientCredentials { token_url, .. } = &mut answers.auth
        {
            *token_url = url;
        }
    })?;
    let text = "Scope that is asked for; nothing when there is none";
    asker.text(&Question { flag: "scope", text, default: Some("") }, |answers, words| {
        if let Auth::OAuth2 { scope, .. } | Auth::ClientCredentials { scope, .. } = &mut answers.auth {
            *scope = words;
        }
    })
}

fn paging(asker: &mut Asker) -> anyhow::Result<()> {
    let question = Question { flag: "pagination", text: "How does the list go on?", default: Some("none") };
    let kind = asker.choose(&question, |answers, kind| {
        let param = |name: &str| name.to_owned();
        answers.paging = match kind {
            PagingKind::Cursor => Paging::Cursor { at: "next".to_owned(), param: param("cursor") },
            PagingKind::Link => Paging::Link { at: "next".to_owned() },
            PagingKind::LinkHeader => Paging::LinkHeader,
            PagingKind::Page => Paging::Page { param: param("page"), first: 1 },
            PagingKind::Offset => Paging::Offset { param: param("offset") },
            PagingKind::None => Paging::None,
        };
    })?;
    let place = match kind {
        PagingKind::Cursor => Some("Where the next cursor is in the answer, such as meta.next_cursor"),
        PagingKind::Link => Some("Where the next page's address is in the answer, such as links.next"),
        PagingKind::LinkHeader | PagingKind::Page | PagingKind::Offset | PagingKind::None => None,
    };
    if let Some(text) = place {
        asker.text(&Question { flag: "next", text, default: None }, |answers, path| {
            if let Paging::Cursor { at, .. } | Paging::Link { at } = &mut answers.paging {
                *at = path;
            }
        })?;
    }
    let taken = match kind {
        PagingKind::Cursor => Some(("Parameter that takes the cursor", "cursor")),
        PagingKind::Page => Some(("Parameter that takes the page's number", "page")),
        PagingKind::Offset => Some(("Parameter that takes the offset", "offset")),
        PagingKind::Link | PagingKind::LinkHeader | PagingKind::None => None,
    };
    if let Some((text, default)) = taken {
        asker.text(&Question { flag: "next-param", text, default: Some(default) }, |answers, name| {
            if let Paging::Cursor { param, .. } | Paging::Page { param, .. } | Paging::Offset { param } =
                &mut answers.paging
            {
                *param = name;
            }
        })?;
    }
    if kind == PagingKind::Page {
        let question = Question { flag: "first-page", text: "The first page's number", default: Some("1") };
        asker.settle(&question, |answers, text| {
            if let Paging::Page { first, .. } = &mut answers.paging {
                *first = number(text)?;
            }
            Ok(())
        })?;
    }
    if kind == PagingKind::None { Ok(()) } else { size(asker, kind) }
}

fn size(asker: &mut Asker, kind: PagingKind) -> anyhow::Result<()> {
    let (text, default) = match kind {
        // It is sent in any case: without a size nobody knows the next offset's page.
        PagingKind::Offset => ("Parameter that says how many records a page has", "limit"),
        PagingKind::Cursor
        | PagingKind::Link
        | PagingKind::LinkHeader
        | PagingKind::Page
        | PagingKind::None => {
            ("Parameter that says how many records a page has; nothing when there is none", "")
        }
    };
    asker.text(&Question { flag: "size-param", text, default: Some(default) }, |answers, name| {
        answers.size = (!name.is_empty()).then_some((name, SIZE_DEFAULT));
    })?;
    if asker.answers.size.is_none() {
        return Ok(());
    }
    let (text, default) =
        ("How many records that are; the most that the API sends", SIZE_DEFAULT.to_string());
    asker.settle(&Question { flag: "size", text, default: Some(&default) }, |answers, text| {
        let max = number(text)?;
        answers.size = answers.size.take().map(|(param, _)| (param, max));
        Ok(())
    })
}

/// Writes what the check accepts.
fn write(file: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    let shown = file.display().to_string();
    let filled = |_: &str| Some("https://api.example.com".to_owned());
    if let Err(problems) = read_and_check([(shown.as_str(), text)], &filled) {
        return Err(files::refused(problems.iter(), "; nothing was written"));
    }
    let mut how = fs::OpenOptions::new();
    how.write(true);
    if force {
        how.create(true).truncate(true)
    } else {
        how.create_new(true)
    };
    match how.open(file) {
        Ok(mut open) => open.write_all(text.as_bytes()).with_context(|| format!("can't write {shown}")),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{shown} is there already; name another file by --output, or write over it with --force")
        }
        Err(error) => Err(error).with_context(|| format!("can't write {shown}")),
    }
}

/// What was written, and what to do next.
fn tell(file: &Path, text: &str, answers: &Answers) {
    anstream::println!("\n{GREEN}wrote{GREEN:#} {}\n", file.display());
    let variables = variables(text);
    if variables.is_empty() {
        anstream::println!("{DIM}# try it on the real API{DIM:#}");
    } else {
        anstream::println!("{DIM}# fill in, then try it on the real API{DIM:#}");
    }
    for variable in variables {
        anstream::println!("export {variable}='...'");
    }
    let flags: String = check_flags(answers).into_iter().map(|flag| format!(" {flag}")).collect();
    anstream::println!(
        "{BOLD}rapidbridge integration check {} --resource {}{flags}{BOLD:#}",
        quoted(&file.display().to_string()),
        answers.resource
    );
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
