//! Everything that can be said about a client's connections.

use core::time::Duration;

use wirelet_proto::deflate::{self, HeaderValue};
use wirelet_proto::handshake::{ClientHandshake, Field, PercentDecoded, RequestOptions, Uri, WriteError};
use wirelet_proto::{Config, ReconnectConfig};

use super::attempt::{Prepare, UriRoom};
use super::redirect::Course;
use crate::counters::Counters;
use crate::http::basic;
use crate::queue::Queue;
use crate::table::Overflow;

/// The longest Authorization header, bytes.
const AUTHORIZATION: usize = 160;
/// The longest user or password of a URI, bytes.
const DECODED: usize = 110;
/// Headers of a request to which the hook adds some, its own and those of the options.
const HEADERS: usize = 16;

/// Where a client connects to, and how.
#[derive(Clone, Debug)]
pub struct Options<'c> {
    /// The server. `wss` needs a [`Connect`](crate::net::Connect) that does TLS.
    pub uri: Uri<'c>,
    /// Where to go instead, once [`Sender::set_uri`](super::Sender::set_uri) has said so; room for that. Default: none.
    pub server: Option<&'c dyn UriRoom>,
    /// Asked before each attempt, which it may change. Default: nothing.
    pub prepare: Option<Prepare<'c>>,
    /// User and password for basic authentication. Without them it is the URI's user information, if it has any.
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
    /// A fixed delay before each further attempt, in place of the random ones of [`reconnect`](Self::reconnect), which still counts the
    /// attempts. A server that asks for more, up to [`ReconnectConfig::cap`], is left alone for longer. Default: none.
    pub delay: Option<Duration>,
    /// What happens to messages that tasks send while there is no connection, and to those that wait when one ends. Default: they are
    /// refused, and dropped.
    pub gap: Gap,
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

/// What happens to messages while there is no connection.
#[derive(Clone, Copy, Default)]
pub struct Gap {
    /// Keeps what may wait. (A function and no flag: where nobody keeps anything it is not linked.)
    pub(super) keep: Option<fn(&mut Queue, &mut [u8])>,
}

impl Gap {
    /// They come back to the sender ([`SendReason::Gone`](crate::SendReason::Gone)), and what waits when a connection ends is dropped: it may
    /// not fit the next one.
    pub const REFUSE: Self = Self { keep: None };
    /// They wait for the next connection, as long as the queue has room; what then happens is for
    /// [`Options::overflow`] to say. Whole messages do, pings and fragments don't. What had left the queue when a connection was
    /// lost is lost with it, and nothing is sent twice.
    pub const KEEP: Self = Self { keep: Some(Queue::keep_whole) };
}

impl core::fmt::Debug for Gap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(if self.keep.is_some() { "KEEP" } else { "REFUSE" })
    }
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
            server: None,
            prepare: None,
            credentials: None,
            subprotocols: &[],
            origin: None,
            user_agent: Some("wirelet"),
            headers: &[],
            config: Config::new(),
            reconnect: ReconnectConfig::DEFAULT,
            delay: None,
            gap: Gap::REFUSE,
            connect_after_loss: true,
            connect_after_close: false,
            redirects: 0,
            connect_time: Duration::from_secs(10),
            overflow: Overflow::Refuse,
            counters: None,
        }
    }

    /// The request for `uri`.
    pub(super) fn request<'a>(
        &self,
        uri: &Uri<'a>,
        headers: &'a [(&'a str, &'a str)],
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
            headers,
            ..RequestOptions::from_uri(uri)
        }
    }

    /// Writes the request of an attempt; `kept` is what it keeps behind the receive buffer's room.
    pub(super) fn write_request(
        &self,
        course: Course,
        kept: &[u8],
        deflate: Option<deflate::Settings>,
        nonce: [u8; 16],
        out: &mut [u8],
    ) -> Result<usize, WriteError> {
        let changed = course.uri(kept);
        let uri = changed.unwrap_or(self.uri);
        let mut all = [("", ""); HEADERS];
        let (mut headers, mut has_token) = (self.headers, false);
        if let Some(prepare) = self.prepare.filter(|_| course.headers > 0) {
            let too_many = WriteError::Invalid(Field::HeaderName);
            let own = all.get_mut(..self.headers.len()).ok_or(too_many)?;
            own.copy_from_slice(self.headers);
            let added = all.get_mut(self.headers.len()..).unwrap_or_default();
            let count = (prepare.fields)(course.lines(kept), added).ok_or(too_many)?;
            headers = all.get(..self.headers.len().saturating_add(count)).unwrap_or_default();
            has_token = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Authorization"));
        }
        if !course.trusted {
            headers = &[];
        }
        let mut buffer = [0; AUTHORIZATION];
        let authorization =
            if course.trusted && !has_token { self.authorization(&uri, &mut buffer)? } else { None };
        let offer = deflate.map(|settings| settings.offer());
        let mut request = self.request(&uri, headers, authorization);
        request.extensions = offer.as_ref().map(HeaderValue::as_str);
        ClientHandshake::new(nonce, request).write_request(out)
    }

    /// The value of Authorization for a host of the caller's.
    fn authorization<'b>(
        &self,
        uri: &Uri<'_>,
        buffer: &'b mut [u8; AUTHORIZATION],
    ) -> Result<Option<&'b str>, WriteError> {
        let refused = WriteError::Invalid(Field::Authorization);
        if let Some(Credentials { user, password }) = self.credentials {
            return basic(user, password, buffer).map(Some).ok_or(refused);
        }
        let Some(userinfo) = uri.userinfo() else { return Ok(None) };
        let colon = userinfo.bytes().position(|byte| byte == b':').unwrap_or(userinfo.len());
        let (user, password) = userinfo.split_at_checked(colon).unwrap_or_default();
        let password = password.get(1..).unwrap_or_default();
        let (mut first, mut second) = ([0; DECODED], [0; DECODED]);
        let user = PercentDecoded::new(user).into_text(&mut first).ok_or(refused)?;
        let password = PercentDecoded::new(password).into_text(&mut second).ok_or(refused)?;
        basic(user, password, buffer).map(Some).ok_or(refused)
    }
}
