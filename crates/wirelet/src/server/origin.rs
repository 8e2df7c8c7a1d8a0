//! Which pages may open a connection (RFC 6455 4.2.2, 4 and 10.2).

use wirelet_proto::handshake::UpgradeRequest;

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

    /// Pages of the same origin and of those listed, as `https://example.com` or `http://localhost:3000`.
    pub fn allow<I>(origins: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let lower = |origin: I::Item| origin.into().trim_end_matches('/').to_ascii_lowercase();
        Self(Policy::SameOr(origins.into_iter().map(lower).collect()))
    }

    /// Any page: for services whose messages carry their own authority.
    pub const fn any() -> Self {
        Self(Policy::Any)
    }

    pub(crate) fn admit(&self, request: &UpgradeRequest<'_>) -> bool {
        match (&self.0, request.origin()) {
            (Policy::Any, _) | (_, None) => true,
            (Policy::SameOr(list), Some(origin)) => {
                request.is_same_origin() || list.iter().any(|known| known.eq_ignore_ascii_case(origin))
            }
        }
    }
}
