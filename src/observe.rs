//! Sets logging up, once a process. What is logged stands where it happens; a run can be followed by its `run` field.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::Subscriber;

use crate::settings::{LogFormat, LogSettings};

/// Why logging can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The filter can't be read.
    #[error("log.filter can't be read: {0}; write a level such as `info`, or directives with commas between")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// It was set up before.
    #[error("logging is set up already in this process: call observe::init once, from main")]
    Twice,
}

/// Sends log lines to standard error from now on.
///
/// # Errors
/// A filter that can't be read, or a second call.
pub fn init(settings: &LogSettings) -> Result<(), ObserveError> {
    let filter = EnvFilter::try_new(&settings.filter)?;
    let builder = Subscriber::builder().with_env_filter(filter).with_writer(io::stderr);
    let set = match settings.format {
        LogFormat::Json => {
            builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
        }
        LogFormat::Text => builder.try_init(),
    };
    set.map_err(|_| ObserveError::Twice)
}
