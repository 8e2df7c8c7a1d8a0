//! Everything that can be said about a client's connections.

use core::time::Duration;

use wirelet_proto::deflate::{self, HeaderValue};
use wirelet_proto::handshake::{ClientHandshake, RequestOptions, Uri, WriteError};
use wirelet_proto::{Config, ReconnectConfig};

use crate::counters::Counters;
use crate::http::basic;
use crate::table::Overflow;

/// The longest Authorization header, bytes.
const AUTHORIZATION: usize = 160;

/// Where a client connects to, and how.
#[derive(Clone, Debug)]
pub struct Options<'c> {
    /// The server. `wss` needs a [`Connect`](crate::net::Connect) that does TLS.
    pub uri: Uri<'c>,
    /// User and password for basic authentication. User information in the URI is not used.
    pub credentials: Option<Credentials<'c>>,
    /// The subprotocols that are offered, the preferred one first.
    pub subprotocols: &'c [&'c str],
    /// The Origin header.
    pub origin: Option<&'c str>,
    /// The User-Agent header. Default: `wirelet`.
    pub user_agent: Option<&'c str>,
    /// Additional headers.
    pub headers: &'c [(&'c str, &'c str)],
    /// Limits, keepalive (pings every 20 s, given up 20 s later) and the way of delivery.
    pub config: Config,
    /// How lost and refused connections are tried again. Default: for ever, with random delays that grow to a minute. A server that
    /// refuses with Retry-After (RFC 9110 10.2.3) is left alone so long, at most [`ReconnectConfig::cap`], and the random delay behind it.
    pub reconnect: ReconnectConfig,
    /// Whether to connect again after a connection was lost. Default: yes.
    pub connect_after_loss: bool,
    /// Whether to connect again after a clean closing handshake, or after one that this side has begun, whatever the
    /// server answers to it. Default: no.
    pub connect_after_close: bool,
    /// How many redirects (301, 302, 303, 307, 308) an attempt follows. Default: 0, a redirect is a refusal. Credentials and
    /// [`headers`](Self::headers) are for the host of [`uri`](Self::uri) alone: a redirect to another one (or another
    /// port) takes none of them along. From TLS to where there is none nobody goes. Each attempt begins at
    /// [`uri`](Self::uri) again.
    pub redirects: u8,
    /// From the beginning of an attempt (resolving the name) to the end of the opening handshake. Default: 10 s. Waiting for a
    /// network ([`Connect::available`](crate::net::Connect::available)) is no part of an attempt.
    pub connect_time: Duration,
    /// What happens when tasks send faster than the server takes.
    pub overflow: Overflow,
    /// What is counted. Default: nothing.
    pub counters: Option<&'c Counters>,
}

/// A user with a password.
#[derive(Clone, Copy)]
pub struct Credentials<'c> {
    /// The user, without a colon.
    pub user: &'c str,
    /// The password.
    pub password: &'c str,
}

impl core::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl<'c> Options<'c> {
    /// The defaults for a server.
    pub const fn new(uri: Uri<'c>) -> Self {
        Self {
            uri,
            credentials: None,
            subprotocols: &[],
            origin: None,
            user_agent: Some("wirelet"),
            headers: &[],
            config: Config::new(),
            reconnect: ReconnectConfig::DEFAULT,
            connect_after_loss: true,
            connect_after_close: false,
            redirects: 0,
            connect_time: Duration::from_secs(10),
            overflow: Overflow::Refuse,
            counters: None,
        }
    }

    /// The request for `uri`; `trusted` when that is the caller's own host.
    pub(super) fn request<'a>(
        &self,
        uri: &Uri<'a>,
        trusted: bool,
        authorization: Option<&'a str>,
    ) -> RequestOptions<'a>
    where
        'c: 'a,
    {
        RequestOptions {
            subprotocols: self.subprotocols,
            origin: self.origin,
            user_agent: self.user_agent,
            authorization,
            headers: if trusted { self.headers } else { &[] },
            ..RequestOptions::from_uri(uri)
        }
    }

    pub(super) fn write_request(
        &self,
        uri: &Uri<'_>,
        trusted: bool,
        deflate: Option<deflate::Settings>,
        nonce: [u8; 16],
        out: &mut [u8],
    ) -> Result<usize, WriteError> {
        let mut buffer = [0; AUTHORIZATION];
        let authorization = match self.credentials.filter(|_| trusted) {
            None => None,
            Some(Credentials { user, password }) => {
                let written = basic(user, password, &mut buffer);
                Some(written.ok_or(WriteError::Invalid(wirelet_proto::handshake::Field::Authorization))?)
            }
        };
        let offer = deflate.map(|settings| settings.offer());
        let mut request = self.request(uri, trusted, authorization);
        request.extensions = offer.as_ref().map(HeaderValue::as_str);
        ClientHandshake::new(nonce, request).write_request(out)
    }
}
