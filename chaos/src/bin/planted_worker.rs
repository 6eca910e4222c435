//! A worker with a fault planted in it (see the library's `worker/planted.rs`): the checker must find it.

use rapidbridge::process;

const ABOUT: &str = "A worker with a planted fault, for the checker of `make chaos` to find.";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = std::env::args_os().skip(1);
    let Some(settings) = process::settings("rapidbridge-planted-worker", ABOUT, arguments)? else {
        return Ok(());
    };
    process::prepare(&settings)?;
    process::work(settings, process::leave_on_signal()?).await?;
    Ok(())
}
