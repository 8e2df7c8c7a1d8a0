//! WebSocket URIs (RFC 6455 3).

use core::fmt;

use super::authority::{Authority, AuthorityError, default_port};
use super::text::{cut_authority, cut_scheme, cut_str, is_target_character};

/// A URI of the scheme `ws` or `wss` (`http` and `https` mean the same), taken apart without being copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uri<'a> {
    secure: bool,
    userinfo: Option<&'a str>,
    authority: &'a str,
    host: &'a str,
    port: u16,
    target: &'a str,
}

impl<'a> Uri<'a> {
    /// Takes a URI apart. Nothing is decoded, nothing encoded: names beyond ASCII come in Punycode, other characters
    /// percent-encoded.
    ///
    /// # Errors
    /// What is wrong with it, a fragment for example.
    pub fn parse(text: &'a str) -> Result<Self, UriError> {
        // RFC 6455 3: fragment identifiers are meaningless and must not be used.
        match text.bytes().find(|byte| !is_target_character(*byte)) {
            Some(b'#') => return Err(UriError::Fragment),
            Some(_) => return Err(UriError::Character),
            None => {}
        }
        let (scheme, rest) = cut_scheme(text).ok_or(UriError::Scheme)?;
        let default = default_port(scheme).ok_or(UriError::Scheme)?;
        let (authority, target) = cut_authority(rest).ok_or(UriError::Host)?;
        let (userinfo, authority) = match cut_str(authority, b'@') {
            Some((userinfo, authority)) => (Some(userinfo), authority),
            None => (None, authority),
        };
        let Authority { host, port } = Authority::parse(authority)?;
        let port = port.unwrap_or(default);
        // RFC 6455 3: the port goes into Host only if it is not the scheme's own.
        let authority = if port == default { host } else { authority };
        Ok(Self { secure: default == 443, userinfo, authority, host, port, target })
    }

    /// Whether the connection goes over TLS (`wss`, `https`).
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// What stands before an `@`: `user:password`, percent-encoded.
    pub const fn userinfo(&self) -> Option<&'a str> {
        self.userinfo
    }

    /// The host as it goes into Host: an IPv6 address in brackets.
    pub const fn host(&self) -> &'a str {
        self.host
    }

    /// The host as a resolver, an address parser or TLS wants it: an IPv6 address without brackets.
    pub fn host_name(&self) -> &'a str {
        self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(self.host)
    }

    /// The port, 80 or 443 if none is given.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The value of the Host header: with the port if it is not the default.
    pub const fn host_header(&self) -> &'a str {
        self.authority
    }

    /// Path and query for [`RequestOptions::target`](super::RequestOptions::target). For `ws://host?a=1` it is `?a=1`;
    /// the slash that belongs there is written with the request.
    pub const fn target(&self) -> &'a str {
        if self.target.is_empty() { "/" } else { self.target }
    }

    /// The path, `/` if there is none.
    pub fn path(&self) -> &'a str {
        match cut_str(self.target, b'?').map_or(self.target, |(path, _)| path) {
            "" => "/",
            path => path,
        }
    }

    /// What follows the question mark.
    pub fn query(&self) -> Option<&'a str> {
        cut_str(self.target, b'?').map(|(_, query)| query)
    }
}

/// Why a text is not a WebSocket URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum UriError {
    /// Not `ws://` or `wss://` (or `http://`, `https://`).
    Scheme,
    /// The host is missing or malformed.
    Host,
    /// The port is not 1–65535.
    Port,
    /// A fragment (`#`).
    Fragment,
    /// A space, `"`, `<`, `>`, a control character or a character beyond ASCII.
    Character,
}

impl From<AuthorityError> for UriError {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::Host => Self::Host,
            AuthorityError::Port => Self::Port,
        }
    }
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the URI does not begin with ws:// or wss://",
            Self::Host => "the host of the URI is missing or malformed",
            Self::Port => "the port of the URI is not a number from 1 to 65535",
            Self::Fragment => "a WebSocket URI has no fragment (#)",
            Self::Character => {
                "the URI has a character that must be percent-encoded (or a name for Punycode)"
            }
        })
    }
}

impl core::error::Error for UriError {}
