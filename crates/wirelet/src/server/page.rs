//! Responses that are there as a whole: pages, and the server's own texts.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::{BodyExt, Full};

/// The body of a response.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;
/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Something that is served to GET and HEAD as it is.
#[derive(Clone, Debug)]
pub struct Page {
    headers: HeaderMap,
    body: Bytes,
}

impl Page {
    /// `body`, of the media type `content_type`. A type that can't be a header's value is left out.
    pub fn new(content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { headers: HeaderMap::new(), body: body.into() }.header("content-type", content_type)
    }

    /// An HTML page in UTF-8.
    pub fn html(body: impl Into<Bytes>) -> Self {
        Self::new("text/html; charset=utf-8", body)
    }

    /// With another header field; one that is not valid is left out.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes()))
        {
            self.headers.insert(name, value);
        }
        self
    }

    pub(crate) fn response(&self) -> Response<Body> {
        let mut response = Response::new(full(self.body.clone()));
        *response.headers_mut() = self.headers.clone();
        response
    }
}

/// A response whose body is a text.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The answer for a service that has none: an error, or a panic.
pub(crate) fn failed() -> Response<Body> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "the service failed")
}

pub(crate) fn full(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// The answer to an ordinary request where only a WebSocket is.
pub(crate) fn upgrade_required() -> Response<Body> {
    let mut response = text(StatusCode::UPGRADE_REQUIRED, "here is a WebSocket");
    let headers = response.headers_mut();
    // RFC 9110 15.5.22, RFC 6455 4.4.
    headers.insert(http::header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(http::header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(http::header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

/// The answer to a method that pages don't have.
pub(crate) fn only_get(method: &Method) -> Option<Response<Body>> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    Some(response)
}
