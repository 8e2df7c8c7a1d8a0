//! What the server answers besides WebSockets: the console and `/status`.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use wirelet::Bytes;

use super::Application;
use super::console::{self, Asset};

/// What a path leads to.
enum Page {
    Console(&'static Asset),
    Status,
}

impl Application {
    /// Answers an HTTP request that is no upgrade.
    pub(crate) fn respond(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Bytes> {
        let Some(page) = self.page(path) else {
            return text(StatusCode::NOT_FOUND, &format!("There is nothing at this path. {}", self.hint()));
        };
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.");
            // RFC 9110 15.5.6: the methods that are allowed.
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match page {
            Page::Console(asset) => asset.respond(headers),
            Page::Status => self.status(),
        }
    }

    fn page(&self, path: &str) -> Option<Page> {
        match path {
            "/status" => Some(Page::Status),
            _ if self.console => console::find(path).map(Page::Console),
            _ => None,
        }
    }

    fn hint(&self) -> String {
        let console = if self.console { "/ is the console, " } else { "" };
        format!("{console}{} the WebSocket endpoint, /status the counters.", self.path)
    }

    fn status(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(format!("{:#}\n", self.counters.to_json())));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

fn text(status: StatusCode, text: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{text}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
