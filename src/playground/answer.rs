//! What a scripted server does with one request.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

/// What a scripted server does with one request.
#[derive(Debug)]
pub struct Answer {
    pub(super) act: Act,
    pub(super) held: bool,
    pub(super) then_down: bool,
}

#[derive(Debug)]
pub(super) enum Act {
    Respond(Response),
    HangUp,
}

impl Answer {
    /// 200 with an empty body.
    pub fn ok() -> Self {
        Self::status(200)
    }

    /// This status with an empty body; 500 when it is no HTTP status.
    pub fn status(status: u16) -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { act: Act::Respond(response), held: false, then_down: false }
    }

    /// Closes the connection without an answer.
    pub fn hang_up() -> Self {
        Self { act: Act::HangUp, held: false, then_down: false }
    }

    /// Adds a body: text, bytes or a stream.
    #[must_use]
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        if let Act::Respond(response) = &mut self.act {
            *response.body_mut() = body.into();
        }
        self
    }

    /// Adds a JSON body and its content type.
    #[must_use]
    pub fn json(self, text: impl Into<Body>) -> Self {
        self.header("content-type", "application/json").body(text)
    }

    /// Adds a header. One that HTTP does not allow is left out.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Act::Respond(response), Ok(name), Ok(value)) =
            (&mut self.act, name.parse::<HeaderName>(), HeaderValue::from_str(value))
        {
            response.headers_mut().insert(name, value);
        }
        self
    }

    /// Waits at the server's gate first: until `release()` after a `hold()`.
    #[must_use]
    pub fn held(mut self) -> Self {
        self.held = true;
        self
    }

    /// The server is down from this answer on, until `up()`.
    #[must_use]
    pub fn then_down(mut self) -> Self {
        self.then_down = true;
        self
    }

    /// The status, when there is an answer at all.
    pub(super) fn code(&self) -> Option<u16> {
        match &self.act {
            Act::Respond(response) => Some(response.status().as_u16()),
            Act::HangUp => None,
        }
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self { act: Act::Respond(response), held: false, then_down: false }
    }
}
