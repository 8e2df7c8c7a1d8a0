//! The console's files, compressed by the build script.

use wirelet_embedded::http::File;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const fn file(bytes: &'static [u8], content_type: &'static str, etag: &'static str) -> File<'static> {
    File {
        gzip: true,
        etag: Some(etag),
        headers: &[("Content-Security-Policy", POLICY), ("X-Content-Type-Options", "nosniff")],
        ..File::new(bytes, content_type)
    }
}

include!(concat!(env!("OUT_DIR"), "/console.rs"));
