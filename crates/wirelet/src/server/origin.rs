//! Which pages may open a connection (RFC 6455 4.2.2, 4 and 10.2).

use wirelet_proto::handshake::{HandshakeError, OriginPattern, UpgradeRequest};

/// Which pages may open a connection. Browsers always name the page's origin; a client that names none is not a
/// browser and may connect.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Origins(Policy);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Policy {
    SameOr(Vec<String>),
    Any,
}

impl Default for Policy {
    fn default() -> Self {
        Self::SameOr(Vec::new())
    }
}

impl Origins {
    /// Pages of the same origin as the connection: the default.
    pub fn same() -> Self {
        Self::default()
    }

    /// Pages of the same origin and of those listed, each an [`OriginPattern`]: `https://example.com`, `https://*.example.com`,
    /// `http://localhost:*`, `file://`. One that nothing matches is an error of [`Server::serve`](super::Server::serve).
    pub fn allow<I>(origins: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self(Policy::SameOr(origins.into_iter().map(Into::into).collect()))
    }

    /// Any page, whatever the request says of it: for services whose messages carry their own authority.
    pub const fn any() -> Self {
        Self(Policy::Any)
    }

    /// # Errors
    /// What is wrong with one that is listed.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Policy::SameOr(list) = &self.0 else { return Ok(()) };
        list.iter().try_for_each(|origin| match OriginPattern::parse(origin) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("no page has the origin {origin:?}: {error}")),
        })
    }

    /// Whether the page may connect.
    ///
    /// # Errors
    /// The Origin header is none, and would have to be looked at.
    pub(crate) fn admit(&self, request: &UpgradeRequest<'_>) -> Result<bool, HandshakeError> {
        let Policy::SameOr(list) = &self.0 else { return Ok(true) };
        let Some(origin) = request.origin()? else { return Ok(true) };
        let listed = |known: &String| OriginPattern::parse(known).is_ok_and(|known| known.matches(origin));
        Ok(request.is_same_origin() || list.iter().any(listed))
    }
}
