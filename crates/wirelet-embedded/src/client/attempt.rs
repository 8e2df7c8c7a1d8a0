//! What may be different in each attempt to connect: the server, and what the request says.

use core::cell::RefCell;

use critical_section::Mutex;
use wirelet_proto::handshake::{Uri, UriError};

use super::redirect::Course;
use crate::http::{Cursor, fields};

/// A hook that is asked before each attempt: it may go to another server, and add headers to the request, a token for example.
///
/// ```
/// use wirelet_embedded::client::{Attempt, Options, Prepare};
/// use wirelet_embedded::proto::handshake::Uri;
///
/// fn prepare(attempt: &mut Attempt<'_>) {
///     // After three failures the other server is tried.
///     if attempt.number() > 3 {
///         let _ = attempt.uri("ws://second.example/ws");
///     }
///     attempt.bearer("the token of this hour");
/// }
///
/// fn options() -> Option<Options<'static>> {
///     let uri = Uri::parse("ws://first.example/ws").ok()?;
///     Some(Options { prepare: Some(Prepare::new(&prepare)), ..Options::new(uri) })
/// }
/// # assert!(options().is_some());
/// ```
#[derive(Clone, Copy)]
pub struct Prepare<'c> {
    hook: &'c Hook<'c>,
    pub(super) ask: Ask,
    /// Names and values of the header lines that it has added.
    pub(super) fields: Fields,
}

type Hook<'c> = dyn Fn(&mut Attempt<'_>) + Sync + 'c;
/// Into the receive buffer, with the transmit buffer as scratch. (It is reached through the hook alone: where there is none, it is
/// not linked.)
type Ask = for<'c> fn(Prepare<'c>, u32, Course, &mut [u8], &mut [u8]) -> Option<Course>;

type Fields = for<'l> fn(&'l str, &mut [(&'l str, &'l str)]) -> Option<usize>;

impl<'c> Prepare<'c> {
    /// A hook.
    pub const fn new(hook: &'c (dyn Fn(&mut Attempt<'_>) + Sync + 'c)) -> Self {
        Self { hook, ask, fields }
    }
}

impl core::fmt::Debug for Prepare<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Prepare").finish_non_exhaustive()
    }
}

/// An attempt to connect that is about to begin.
pub struct Attempt<'a> {
    number: u32,
    uri: &'a mut [u8],
    /// Bytes of `uri`.
    len: usize,
    headers: Cursor<'a>,
    invalid: bool,
}

impl Attempt<'_> {
    /// The number of this attempt: 1 is the first, and the first one after a stable connection.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Goes to another server in this attempt.
    ///
    /// # Errors
    /// It is no URI of a WebSocket, or longer than half of the transmit buffer or a quarter of the receive buffer. The attempt goes
    /// where it would have gone.
    pub fn uri(&mut self, uri: &str) -> Result<(), SetUriError> {
        put_uri(uri, self.uri).map(|len| self.len = len)
    }

    /// Adds a header to the request, which may have 16 with those of the options. With one that must not be sent, or that finds no room in half of the transmit buffer (a quarter of
    /// the receive buffer), the attempt fails.
    pub fn header(&mut self, name: &str, value: &str) -> &mut Self {
        self.invalid |= !self.headers.field(name, value);
        self
    }

    /// Adds `Authorization: Bearer` with a token (RFC 6750), in the place of user and password.
    pub fn bearer(&mut self, token: &str) -> &mut Self {
        let clean = token.bytes().all(|byte| byte.is_ascii_graphic());
        self.invalid |= !clean;
        if clean {
            for part in ["Authorization: Bearer ", token, "\r\n"] {
                self.headers.put(part);
            }
        }
        self
    }
}

impl core::fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Attempt").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Why a URI was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SetUriError {
    /// It is no URI of a WebSocket.
    Uri(UriError),
    /// It has no room, or there is no room at all.
    TooLong,
}

/// Room for the URI of a server that tasks may change, at most `LEN` bytes: [`Options::server`](super::Options::server).
#[derive(Debug)]
pub struct ServerUri<const LEN: usize>(Mutex<RefCell<(usize, [u8; LEN])>>);

impl<const LEN: usize> ServerUri<LEN> {
    /// Nothing: the client goes to [`Options::uri`](super::Options::uri).
    pub const fn new() -> Self {
        Self(Mutex::new(RefCell::new((0, [0; LEN]))))
    }
}

impl<const LEN: usize> Default for ServerUri<LEN> {
    fn default() -> Self {
        Self::new()
    }
}

/// A [`ServerUri`] of any size.
pub trait UriRoom: Sync {
    /// Sets the URI that the next attempt goes to.
    ///
    /// # Errors
    /// It is none, or has no room. The old one stays.
    fn set(&self, uri: &str) -> Result<(), SetUriError>;

    /// Copies the URI to the front of `into`; its length, 0 when there is none or it has no room.
    fn copy(&self, into: &mut [u8]) -> usize;
}

impl<const LEN: usize> UriRoom for ServerUri<LEN> {
    fn set(&self, uri: &str) -> Result<(), SetUriError> {
        critical_section::with(|section| {
            let (len, bytes) = &mut *self.0.borrow_ref_mut(section);
            put_uri(uri, bytes).map(|new| *len = new)
        })
    }

    fn copy(&self, into: &mut [u8]) -> usize {
        critical_section::with(|section| {
            let (len, bytes) = &*self.0.borrow_ref(section);
            match (into.get_mut(..*len), bytes.get(..*len)) {
                (Some(into), Some(uri)) => {
                    into.copy_from_slice(uri);
                    *len
                }
                _ => 0,
            }
        })
    }
}

impl core::fmt::Debug for dyn UriRoom + '_ {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ServerUri").finish_non_exhaustive()
    }
}

fn put_uri(uri: &str, into: &mut [u8]) -> Result<usize, SetUriError> {
    Uri::parse(uri).map_err(SetUriError::Uri)?;
    into.get_mut(..uri.len()).ok_or(SetUriError::TooLong)?.copy_from_slice(uri.as_bytes());
    Ok(uri.len())
}

/// Asks the hook; what it wants stands at the end of the receive buffer then. `None`: a header must not be sent, or has no room.
fn ask(prepare: Prepare<'_>, number: u32, course: Course, rx: &mut [u8], tx: &mut [u8]) -> Option<Course> {
    let most = rx.len() / 4;
    let (lines, uri) = tx.split_at_mut_checked(tx.len() / 2).unwrap_or_default();
    let (lines_len, uri_len) = (lines.len().min(most), uri.len().min(most));
    let mut attempt = Attempt {
        number,
        uri: uri.get_mut(..uri_len).unwrap_or_default(),
        len: 0,
        headers: Cursor::new(lines.get_mut(..lines_len).unwrap_or_default()),
        invalid: false,
    };
    (prepare.hook)(&mut attempt);
    let Attempt { len, headers, invalid, .. } = attempt;
    let headers = headers.finish().filter(|_| !invalid)?;
    // The URI that was there makes way for the headers.
    let kept = if len > 0 { len } else { course.kept };
    let end = rx.len().saturating_sub(headers);
    let from = rx.len().saturating_sub(course.kept);
    rx.copy_within(from.., end.saturating_sub(course.kept));
    if len > 0
        && let Some(into) = rx.get_mut(end.saturating_sub(len)..end)
    {
        into.copy_from_slice(uri.get(..len).unwrap_or_default());
    }
    rx.get_mut(end..)?.copy_from_slice(lines.get(..headers)?);
    Some(Course { kept, headers, ..course })
}
