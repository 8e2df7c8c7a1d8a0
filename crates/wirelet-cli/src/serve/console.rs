//! The browser console: static files inside the program.

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use wirelet::Bytes;

/// A file of the console.
pub(crate) struct Asset {
    pub(crate) name: &'static str,
    /// A strong entity tag (RFC 9110 8.8.3), quotes included.
    tag: &'static str,
    pub(crate) body: &'static [u8],
}

/// All files, listed by `build.rs`.
pub(crate) static ASSETS: &[Asset] = &include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// Nothing from elsewhere, nothing inline; `/status` from here, and WebSocket connections to anywhere, which is
/// what the page is for.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

impl Asset {
    /// Where it is served: `index.html` at `/` too.
    pub(crate) fn paths(&self) -> impl Iterator<Item = String> {
        let root = (self.name == "index.html").then(|| "/".to_owned());
        root.into_iter().chain([format!("/{}", self.name)])
    }

    /// The answer to a request: the file, 304 when the browser has it already, or 405.
    pub(crate) fn respond(&'static self, method: &Method, request: &HeaderMap) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        if !matches!(*method, Method::GET | Method::HEAD) {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            // RFC 9110 15.5.6: the methods that are allowed.
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        for (name, value) in self.headers() {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        if self.is_known(request) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            *response.body_mut() = Bytes::from_static(self.body);
        }
        response
    }

    // RFC 9110 13.1.2: the weak comparison, of each tag in the list.
    fn is_known(&self, request: &HeaderMap) -> bool {
        request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|tags| {
            tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.tag)
        })
    }

    fn headers(&self) -> [(HeaderName, &'static str); 7] {
        [
            (CONTENT_TYPE, self.content_type()),
            // Asked again each time, answered with 304: after an update nobody sees half of the old page.
            (CACHE_CONTROL, "no-cache"),
            (ETAG, self.tag),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            (REFERRER_POLICY, "no-referrer"),
        ]
    }

    fn content_type(&self) -> &'static str {
        match self.name.rsplit_once('.') {
            Some((_, "html")) => "text/html; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "application/octet-stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(path: &str) -> Option<&'static Asset> {
        ASSETS.iter().find(|asset| asset.paths().any(|served| served == path))
    }

    fn respond(path: &str, known: Option<&str>) -> Response<Bytes> {
        let mut request = HeaderMap::new();
        if let Some(tag) = known {
            request.insert(IF_NONE_MATCH, tag.parse().unwrap());
        }
        find(path).unwrap().respond(&Method::GET, &request)
    }

    #[test]
    fn the_page_and_all_it_refers_to_are_here() {
        let page = String::from_utf8(respond("/", None).into_body().to_vec()).unwrap();
        let references: Vec<_> = page
            .split(['"', '\''])
            .filter(|piece| !piece.contains(char::is_whitespace))
            .filter(|piece| [".js", ".css", ".svg"].iter().any(|end| piece.ends_with(end)))
            .collect();
        assert!(references.len() >= 2, "{references:?}");
        for reference in references {
            let path = format!("/{}", reference.trim_start_matches("./").trim_start_matches('/'));
            assert!(find(&path).is_some(), "{reference}");
        }
    }

    #[test]
    fn modules_import_only_what_is_served() {
        for asset in ASSETS.iter().filter(|asset| asset.name.ends_with(".js")) {
            let source = std::str::from_utf8(asset.body).unwrap();
            for line in
                source.lines().filter(|line| line.starts_with("import ") || line.starts_with("} from "))
            {
                let Some(name) = line.split(['"', '\'']).nth(1) else { continue };
                assert!(find(name.trim_start_matches('.')).is_some(), "{} imports {name}", asset.name);
            }
        }
    }

    #[test]
    fn the_policy_lets_the_page_run_and_nothing_else() {
        let response = respond("/", None);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("connect-src 'self' ws: wss:"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn what_the_browser_has_is_not_sent_again() {
        let tag = respond("/", None).headers()[ETAG].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".into()] {
            let response = respond("/", Some(&known));
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert!(response.body().is_empty());
        }
        assert_eq!(respond("/", Some("\"other\"")).status(), StatusCode::OK);
    }

    #[test]
    fn only_reading_is_allowed() {
        let asset = find("/").unwrap();
        for (method, status) in [(Method::HEAD, 200), (Method::POST, 405), (Method::DELETE, 405)] {
            let response = asset.respond(&method, &HeaderMap::new());
            assert_eq!(response.status(), status, "{method}");
            assert_eq!(response.headers().contains_key(ALLOW), status == 405);
        }
    }
}
