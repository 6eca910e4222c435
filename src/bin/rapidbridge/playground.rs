//! `rapidbridge playground`: an API to read from and a receiver that prints what it gets, so that a first sync job
//! needs nothing but this machine.

use anyhow::Context as _;
use clap::Args;
use rapidbridge::playground::receiver::{self, Received};
use rapidbridge::playground::{Helpdesk, Receiver, helpdesk};

use crate::paint::{BOLD, DIM};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The port of the helpdesk API
    #[arg(long, default_value_t = 4010, value_name = "PORT")]
    source_port: u16,
    /// The port of the receiver
    #[arg(long, default_value_t = 4011, value_name = "PORT")]
    receiver_port: u16,
    /// The bearer token that the helpdesk wants
    // Not `token`: that is the API's, for every command.
    #[arg(long, default_value = "helpdesk-token", value_name = "TOKEN")]
    source_token: String,
    /// The secret that deliveries must be signed with
    #[arg(long, default_value = "receiver-secret", value_name = "SECRET")]
    secret: String,
}

/// Serves until Ctrl-C.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let settings =
        helpdesk::Settings { port: options.source_port, token: options.source_token, ..Default::default() };
    let helpdesk = Helpdesk::start(settings).await.context("the helpdesk can't listen; try --source-port")?;
    let settings =
        receiver::Settings { port: options.receiver_port, secret: options.secret, ..Default::default() };
    let receiver =
        Receiver::start(settings).await.context("the receiver can't listen; try --receiver-port")?;
    receiver.script(|received| {
        anstream::println!("{}", line(received));
        None
    });
    anstream::println!("{BOLD}rapidbridge playground{BOLD:#}");
    anstream::println!(
        "  helpdesk  {}/api/v1/tickets   bearer token: {}",
        helpdesk.url(),
        helpdesk.settings().token
    );
    anstream::println!("  receiver  {}   secret: the one of --secret", receiver.url());
    anstream::println!(
        "{DIM}Every request with a good signature is printed and answered 200. Ctrl-C ends it.{DIM:#}\n"
    );
    tokio::signal::ctrl_c().await.context("Ctrl-C can't be heard")?;
    Ok(())
}

/// One event for people: `sync_job_run:record  tickets  100 records  page 3`.
fn line(received: &Received) -> String {
    let mut line = format!("{:<26}", received.event);
    if let Some(resource) = &received.resource {
        line.push_str(&format!("  {resource:<14}"));
    }
    if let Some(seq) = received.seq {
        line.push_str(&format!("  {:>4} records  page {seq}", received.records));
    }
    line
}
