//! A worker with a fault planted in it (see the library's `worker/planted.rs`): the checker must find it.

use rapidbridge::{process, worker};

const ABOUT: &str = "A worker with a planted fault, for the checker of `make chaos` to find.";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = std::env::args_os().skip(1);
    let Some(settings) = process::settings("rapidbridge-planted-worker", ABOUT, arguments)? else {
        return Ok(());
    };
    process::prepare(&settings)?;
    let leave = process::leave_on_signal()?;
    let store = tokio::select! {
        opened = process::open_store(&settings) => opened?,
        () = leave.cancelled() => return Ok(()),
    };
    worker::run(settings, store, leave).await?;
    Ok(())
}
