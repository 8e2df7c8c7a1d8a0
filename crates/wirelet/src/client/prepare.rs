//! A hook before each attempt, which may change what is asked of whom.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use wirelet_proto::handshake::UriError;

use super::target::{Target, basic};
use super::upgrade::Request;

/// What a hook may fail with.
pub(super) type HookError = Box<dyn Error + Send + Sync>;

/// The request of an attempt before it is made: for [`Builder::prepare`](super::Builder::prepare), which may change it.
///
/// Changes hold for this attempt; the next one begins with what the [`Builder`](super::Builder) says.
#[derive(Clone)]
pub struct AttemptRequest {
    pub(super) attempt: u32,
    pub(super) is_redirect: bool,
    pub(super) last_status: Option<u16>,
    pub(super) target: Target,
    pub(super) request: Request,
}

impl AttemptRequest {
    /// 1 for the first attempt, and for the first one after each connection. A redirect is part of its attempt.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether a redirect has led here. If that was to another scheme, host or port, on the way or now, the headers of the program
    /// are gone; those that are set here are sent.
    pub const fn is_redirect(&self) -> bool {
        self.is_redirect
    }

    /// The HTTP status of the refusal that the attempt before has ended with: 401 where a token has expired, for example.
    pub const fn last_status(&self) -> Option<u16> {
        self.last_status
    }

    /// The URL, without user information.
    pub fn url(&self) -> String {
        self.target.to_string()
    }

    /// Connects to another URL. User information in it becomes Basic authorization.
    ///
    /// # Errors
    /// The URL is malformed; nothing has changed.
    pub fn set_url(&mut self, url: impl AsRef<str>) -> Result<(), UriError> {
        let (target, authorization) = Target::parse(url.as_ref())?;
        self.target = target;
        if authorization.is_some() {
            self.request.authorization = authorization;
        }
        Ok(())
    }

    /// Sets a header, in the place of all that have this name. What must not be sent is an error of the attempt.
    pub fn header(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        let name = name.into();
        self.request.remove(&name);
        self.request.add(name, value.into());
        self
    }

    /// Removes all headers of this name that the program has set.
    pub fn remove_header(&mut self, name: &str) -> &mut Self {
        self.request.remove(name);
        self
    }

    /// Authorization by a token (RFC 6750 2.1).
    pub fn bearer(&mut self, token: impl fmt::Display) -> &mut Self {
        self.request.authorization = Some(format!("Bearer {token}"));
        self
    }

    /// Basic authorization (RFC 7617) by name and password.
    pub fn basic_auth(&mut self, user: &str, password: &str) -> &mut Self {
        self.request.authorization = Some(basic(user.as_bytes(), password.as_bytes()));
        self
    }
}

impl fmt::Debug for AttemptRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No header: there may be a token in it.
        f.debug_struct("AttemptRequest")
            .field("attempt", &self.attempt)
            .field("is_redirect", &self.is_redirect)
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

type Preparing = Pin<Box<dyn Future<Output = Result<AttemptRequest, HookError>> + Send>>;

/// The hook of a builder.
#[derive(Clone)]
pub(super) struct Hook(Arc<dyn Fn(AttemptRequest) -> Preparing + Send + Sync>);

impl Hook {
    pub(super) fn new<F, P>(prepare: F) -> Self
    where
        F: Fn(AttemptRequest) -> P + Send + Sync + 'static,
        P: Future<Output = Result<AttemptRequest, HookError>> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(prepare(request))))
    }

    pub(super) async fn prepare(&self, request: AttemptRequest) -> Result<AttemptRequest, HookError> {
        (self.0)(request).await
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
