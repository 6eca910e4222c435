//! Sets logging up, once a process. What is logged stands where it happens; a run's lines all carry its span, so that
//! one run can be followed by its `run` field.

use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

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
    subscriber(settings, io::stderr)?.try_init().map_err(|_| ObserveError::Twice)
}

fn subscriber<W>(settings: &LogSettings, writer: W) -> Result<Box<dyn Subscriber + Send + Sync>, ObserveError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&settings.filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match settings.format {
        // All spans of a line, from the outside in: an inner one must not hide which run it belongs to.
        LogFormat::Json => Box::new(
            builder.json().flatten_event(true).with_current_span(false).with_span_list(true).finish(),
        ),
        // Colours are for a terminal; in a file they are noise.
        LogFormat::Text => Box::new(builder.with_ansi(io::stderr().is_terminal()).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(format: LogFormat, filter: &str) -> String {
        let lines = Lines::default();
        let settings = LogSettings { format, filter: filter.to_owned() };
        let made = lines.clone();
        tracing::subscriber::with_default(subscriber(&settings, move || made.clone()).unwrap(), || {
            let run = tracing::error_span!("run", run = "r-1").entered();
            let page = tracing::error_span!("page", seq = 7).entered();
            tracing::error!(status = 503, "the source is out of reach");
            tracing::debug!("a detail");
            drop((page, run));
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_of_json_says_its_run_within_inner_spans() {
        let text = log(LogFormat::Json, "info");
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["message"], &line["level"]),
            (&"the source is out of reach".into(), &"ERROR".into())
        );
        assert_eq!(
            (&line["status"], &line["spans"][0]["run"], &line["spans"][1]["seq"]),
            (&503.into(), &"r-1".into(), &7.into())
        );
    }

    #[test]
    fn text_is_for_people_and_the_filter_decides() {
        let text = log(LogFormat::Text, "debug");
        assert!(text.contains("a detail") && text.contains("out of reach"));
        assert_eq!(log(LogFormat::Text, "off"), "");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_an_error() {
        let settings = LogSettings { format: LogFormat::Json, filter: "rapidbridge=loud".to_owned() };
        assert!(matches!(subscriber(&settings, io::sink), Err(ObserveError::Filter(_))));
    }
}
