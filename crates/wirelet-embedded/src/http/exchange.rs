//! A request and its response as an async function sees them: the body comes block by block, and so does the response.

use core::fmt;
use core::future::poll_fn;

use super::Request;
use super::transfer::Transfer;

/// A request whose body is still to be read, and whose response is still to be made, for an async function: the argument of
/// [`Worker::run_http_with`](crate::server::Worker::run_http_with), for the routes of [`Route::pull`](crate::server::Route::pull).
/// It is the [`Request`], too: path, query, headers, cookies, the peer's address.
///
/// Bodies of both directions may be larger than all buffers: a firmware image passes through the receive buffer, and what is written
/// leaves through the transmit buffer. While the function waits, for whatever it is, what it has written leaves.
///
/// When the function returns, the response is over. If it has made none, the response is 204; after an error it is 400, 408 or 413,
/// where the body is to blame ([`Error`]), or 500. If it fails in the middle of a response, that is cut off, so that nobody takes it
/// for whole. A connection whose body was not read to its end is closed behind the response.
///
/// An exchange has its worker until it is over. If the server stops, the function has the closing time
/// ([`Settings::closing_time`](crate::server::Settings::closing_time)) to return; then it is dropped. When the peer is gone it learns it from
/// its next call, and has as long.
///
/// ```
/// use wirelet_embedded::http::{Error, Exchange, Methods, Reply};
/// use wirelet_embedded::server::Route;
/// # async fn flash_block(_: &[u8]) -> Result<(), ()> { Ok(()) }
///
/// /// For firmware of at most 4 MiB.
/// static ROUTES: [Route<'static>; 1] = [Route::pull("/firmware", Methods::POST).with_body(4 << 20)];
///
/// async fn upload(mut exchange: Exchange<'_>) -> Result<(), Error> {
///     let mut block = [0; 1024];
///     loop {
///         match exchange.read(&mut block).await? {
///             0 => return exchange.send(&Reply::new(200, "text/plain"), "installed\n").await,
///             n => if flash_block(&block[..n]).await.is_err() {
///                 return exchange.send(&Reply::new(507, "text/plain"), "no room in flash\n").await;
///             },
///         }
///     }
/// }
/// ```
pub struct Exchange<'e> {
    request: Request<'e>,
    name: &'e str,
    content_length: Option<u64>,
    transfer: &'e Transfer<'e>,
}

/// The head of a response that an [`Exchange`] sends.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'h> {
    /// The status, 200–999.
    pub status: u16,
    /// The value of Content-Type; empty: there is none.
    pub content_type: &'h str,
    /// The bytes of the body, where they are known before. Otherwise the body is sent in chunks, and to clients of HTTP/1.0 up to the
    /// end of the connection.
    pub len: Option<usize>,
    /// Further headers.
    pub headers: &'h [(&'h str, &'h str)],
}

/// Why an [`Exchange`] did not read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// The peer is gone, or takes nothing.
    Gone,
    /// The body does not go on, or too slowly ([`Settings::stalled_time`](crate::server::Settings::stalled_time),
    /// [`slowest`](crate::server::Settings::slowest)). A response can still be sent; without one it is 408.
    Timeout,
    /// The chunks of the body are none. A response can still be sent; without one it is 400.
    Malformed,
    /// The body is larger than its route allows, or than the buffer of [`Exchange::body`]. A response can still be sent; without one it
    /// is 413.
    TooLarge,
    /// The head of the response does not fit the transmit buffer, or has a header that must not be sent.
    Head,
    /// A second response, a body without a response, or more of it than its length.
    Misuse,
}

impl<'e> Exchange<'e> {
    pub(crate) const fn new(
        request: Request<'e>,
        name: &'e str,
        content_length: Option<u64>,
        transfer: &'e Transfer<'e>,
    ) -> Self {
        Self { request, name, content_length, transfer }
    }

    /// The name of its route ([`Route::named`](crate::server::Route::named)), by default the path as it stands in the table.
    pub const fn route(&self) -> &'e str {
        self.name
    }

    /// How many bytes the body has; `None` if it comes in chunks.
    pub const fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Reads what has arrived of the body into `buffer`, and waits where nothing has; 0 at the end of the body, or where `buffer` is
    /// empty. Who waits for leave (`Expect: 100-continue`) has it at the first call that waits.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Timeout`], [`Error::Malformed`], [`Error::TooLarge`].
    ///
    /// # Cancel safety
    /// Safe: bytes were taken or not.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.transfer.poll_read(cx, buffer)).await
    }

    /// Reads the whole body into `buffer`.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Error::TooLarge`] if it does not fit `buffer`.
    ///
    /// # Cancel safety
    /// Not safe: what was read is lost.
    pub async fn body<'b>(&mut self, buffer: &'b mut [u8]) -> Result<&'b [u8], Error> {
        let mut len = 0_usize;
        loop {
            let room = buffer.get_mut(len..).unwrap_or_default();
            let full = room.is_empty();
            // Whether there is more than fits.
            let mut beyond = [0];
            match self.read(if full { &mut beyond } else { room }).await? {
                0 => return Ok(buffer.get(..len).unwrap_or_default()),
                _ if full => return Err(self.transfer.refuse(Error::TooLarge)),
                n => len = len.saturating_add(n),
            }
        }
    }

    /// Begins the response. Its body follows by [`write`](Self::write), and ends when the function returns.
    ///
    /// # Errors
    /// [`Error::Gone`]; [`Error::Head`]; [`Error::Misuse`] if there was one before.
    ///
    /// # Cancel safety
    /// Safe: it was begun or not.
    pub async fn start(&mut self, reply: &Reply<'_>) -> Result<(), Error> {
        poll_fn(|cx| self.transfer.poll_start(cx, reply)).await
    }

    /// Writes more of the body. It leaves when the function waits, for whatever it is: many small writes become one chunk. Where the
    /// response has no body (HEAD, 204, 304), nothing is sent.
    ///
    /// # Errors
    /// [`Error::Gone`]; [`Error::Misuse`].
    ///
    /// # Cancel safety
    /// Not safe: a part may have been written.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        self.write_bytes(bytes.as_ref()).await
    }

    async fn write_bytes(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        poll_fn(|cx| self.transfer.poll_write(cx, &mut bytes)).await
    }

    /// Waits until the network stack has taken all that was written.
    ///
    /// # Errors
    /// [`Error::Gone`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.transfer.poll_flush(cx)).await
    }

    /// Sends a whole response; [`Reply::len`] is the body's.
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`write`](Self::write).
    ///
    /// # Cancel safety
    /// Not safe: a part may have been written.
    pub async fn send(&mut self, reply: &Reply<'_>, body: impl AsRef<[u8]>) -> Result<(), Error> {
        let body = body.as_ref();
        self.start(&Reply { len: Some(body.len()), ..*reply }).await?;
        self.write_bytes(body).await
    }
}

impl<'e> core::ops::Deref for Exchange<'e> {
    type Target = Request<'e>;

    fn deref(&self) -> &Request<'e> {
        &self.request
    }
}

impl fmt::Debug for Exchange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("route", &self.name).finish_non_exhaustive()
    }
}

impl<'h> Reply<'h> {
    /// A response of unknown length, without further headers.
    pub const fn new(status: u16, content_type: &'h str) -> Self {
        Self { status, content_type, len: None, headers: &[] }
    }

    /// With these headers.
    pub const fn with_headers(mut self, headers: &'h [(&'h str, &'h str)]) -> Self {
        self.headers = headers;
        self
    }
}

impl Error {
    /// What is wrong, in a few words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Gone => "the peer is gone",
            Self::Timeout => "the body did not arrive in time",
            Self::Malformed => "the body is malformed",
            Self::TooLarge => "the body is too large",
            Self::Head => "the head of the response can't be sent",
            Self::Misuse => "this is no part of the response",
        }
    }

    /// The status of a response that says so.
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::Timeout => 408,
            Self::Malformed => 400,
            Self::TooLarge => 413,
            Self::Gone | Self::Head | Self::Misuse => 500,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for Error {}
