//! `rapidbridge connect`: a person lets an account in at its source, in the browser. The source sends them back to a port of
//! this machine (RFC 8252, section 7.3); the server makes and keeps the tokens, which never pass here.

use std::future::IntoFuture as _;
use std::net::Ipv4Addr;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::{Query, State};
use axum::response::Html;
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::client::Client;
use crate::paint::{BOLD, GREEN};

/// How long a person may take.
const PERSON_MAX: Duration = Duration::from_secs(900);

/// How long the last page may take to the browser.
const PAGE_MAX: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The account's id
    account: String,
    /// The port on this machine that the source sends the person back to; any free one if left out
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    port: u16,
    /// The address as it is registered at the source, where that is not http://127.0.0.1:PORT/callback
    #[arg(long, value_name = "URL")]
    redirect_uri: Option<Url>,
    /// Only print the address to open
    #[arg(long)]
    no_browser: bool,
}

#[derive(Debug, Deserialize)]
struct Invitation {
    authorize_url: String,
    state: String,
}

#[derive(Debug, Deserialize)]
struct Connected {
    id: String,
}

/// What the source sends the person back with (RFC 6749, sections 4.1.2 and 4.1.2.1).
#[derive(Debug, Default, Deserialize)]
struct Back {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

pub(crate) async fn run(client: &Client, options: Options) -> anyhow::Result<ExitCode> {
    let given = options.redirect_uri.as_ref();
    let port = match (options.port, given.and_then(Url::port)) {
        (0, Some(port)) => port,
        (port, _) => port,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.with_context(|| format!("port {port} of this machine can't be used"))?;
    let own = format!("http://{}/callback", listener.local_addr()?);
    let redirect_uri = given.map_or(own, |uri| uri.as_str().to_owned());
    let path = ["integrated-account", &options.account, "connect"];
    let body = json!({ "redirect_uri": redirect_uri });
    let invitation: Invitation = client.post(&path, &body).await?;
    anstream::println!(
        "open this address and let the account in:\n\n  {BOLD}{}{BOLD:#}\n",
        invitation.authorize_url
    );
    if !options.no_browser {
        browse(&invitation.authorize_url);
    }
    let back = tokio::time::timeout(PERSON_MAX, wait(listener, invitation.state.clone())).await;
    let back =
        back.map_err(|_| anyhow::anyhow!("nobody came back within {} minutes", PERSON_MAX.as_secs() / 60))??;
    if let Some(error) = back.error {
        let more = back.error_description.map(|more| format!(": {more}")).unwrap_or_default();
        // The source's words must not steer the terminal.
        let said: String = format!("{error}{more}").chars().filter(|c| !c.is_control()).take(500).collect();
        bail!("the source did not let the account in ({said})");
    }
    let Some(code) = back.code else { bail!("the source sent no code back") };
    let body = json!({ "code": code, "state": invitation.state });
    let connected: Connected = client.post(&path, &body).await?;
    anstream::println!("{GREEN}connected{GREEN:#} {}", connected.id);
    Ok(ExitCode::SUCCESS)
}

/// Waits for the person to come back. Others who ask without the state learn nothing.
async fn wait(listener: TcpListener, state: String) -> anyhow::Result<Back> {
    let (sender, receiver) = oneshot::channel();
    let shared = Arc::new((state, Mutex::new(Some(sender))));
    let router = Router::new().fallback(get(came_back)).with_state(shared);
    let leave = CancellationToken::new();
    let left = leave.clone().cancelled_owned();
    let server = tokio::spawn(axum::serve(listener, router).with_graceful_shutdown(left).into_future());
    let back = receiver.await.context("this machine stopped listening");
    // The page is on its way to the browser.
    leave.cancel();
    let _ = tokio::time::timeout(PAGE_MAX, server).await;
    back
}

type Waiting = Arc<(String, Mutex<Option<oneshot::Sender<Back>>>)>;

async fn came_back(State(waiting): State<Waiting>, Query(back): Query<Back>) -> Html<&'static str> {
    let (state, sender) = &*waiting;
    if back.state.as_ref() != Some(state) {
        return Html("<p>This is not the page that rapidbridge waits for.</p>");
    }
    let refused = back.error.is_some();
    if let Some(sender) = sender.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = sender.send(back);
    }
    Html(if refused {
        "<p>The account was not let in. You can close this window.</p>"
    } else {
        "<p>Thank you. You can close this window; the terminal tells the rest.</p>"
    })
}

/// Opens the browser, where there is one; the address is printed in any case.
fn browse(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let _ = Command::new(program).arg(url).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
}
