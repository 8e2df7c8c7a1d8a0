//! Server-sent events (HTML, 9.2): messages of text to a page, over a response that does not end.

use core::time::Duration;

use super::exchange::{Error, Exchange, Reply};

/// A stream of events to a page, which reads it by `EventSource` and asks again by itself when it breaks off. Made by
/// [`Exchange::events`].
///
/// A peer that is gone is noticed by what is sent: send a [`comment`](Self::comment) now and then where events are rare.
///
/// ```
/// use wirelet_embedded::http::{Error, Event, Exchange};
/// # async fn measured() -> u8 { 21 }
///
/// async fn temperature(mut exchange: Exchange<'_>) -> Result<(), Error> {
///     let mut events = exchange.events(&[]).await?;
///     loop {
///         let warm = if measured().await > 20 { "warm" } else { "cold" };
///         events.send(&Event { name: Some("temperature"), ..Event::new(warm) }).await?;
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Events<'x, 'e>(&'x mut Exchange<'e>);

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'m> {
    /// Its kind, which a page listens for; `message` without one. One line.
    pub name: Option<&'m str>,
    /// What the page says as `Last-Event-ID` when it asks again. One line.
    pub id: Option<&'m str>,
    /// Text of any number of lines.
    pub data: &'m str,
}

impl<'m> Event<'m> {
    /// A `message` without an identifier.
    pub const fn new(data: &'m str) -> Self {
        Self { name: None, id: None, data }
    }
}

impl<'e> Exchange<'e> {
    /// Begins a stream of events, with further headers. What a page that asks again has seen last is the request's header
    /// `Last-Event-ID`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    /// Safe: it was begun or not.
    pub async fn events(&mut self, headers: &[(&str, &str)]) -> Result<Events<'_, 'e>, Error> {
        // An entry that caches keep would be an old state of the device.
        const NO_STORE: (&str, &str) = ("Cache-Control", "no-store");
        let mut all = [NO_STORE; 8];
        for (at, header) in headers.iter().enumerate() {
            *all.get_mut(at.saturating_add(1)).ok_or(Error::Head)? = *header;
        }
        let all = all.get(..=headers.len()).unwrap_or_default();
        self.start(&Reply::new(200, "text/event-stream").with_headers(all)).await?;
        Ok(Events(self))
    }
}

impl Events<'_, '_> {
    /// Sends an event. It leaves when the function waits, for whatever it is.
    ///
    /// # Errors
    /// [`Error::Gone`]; [`Error::Misuse`] if name or identifier are not one line, or the identifier has a zero byte.
    ///
    /// # Cancel safety
    /// Not safe: a part may have been written.
    pub async fn send(&mut self, event: &Event<'_>) -> Result<(), Error> {
        for (field, value) in [("event: ", event.name), ("id: ", event.id)] {
            let Some(value) = value else { continue };
            if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                return Err(Error::Misuse);
            }
            self.line(field, value).await?;
        }
        self.lines("data: ", event.data).await?;
        self.0.write("\n").await
    }

    /// Sends lines that the page does not see.
    ///
    /// # Errors
    /// [`Error::Gone`].
    ///
    /// # Cancel safety
    /// Not safe: a part may have been written.
    pub async fn comment(&mut self, text: &str) -> Result<(), Error> {
        self.lines(": ", text).await
    }

    /// Says how long the page waits before it asks again, in milliseconds.
    ///
    /// # Errors
    /// [`Error::Gone`].
    ///
    /// # Cancel safety
    /// Not safe: a part may have been written.
    pub async fn retry(&mut self, delay: Duration) -> Result<(), Error> {
        let (mut digits, mut left, mut first) = ([b'0'; 20], delay.as_millis() as u64, 20_usize);
        while left > 0 || first == digits.len() {
            first = first.saturating_sub(1);
            if let Some(digit) = digits.get_mut(first) {
                *digit |= (left % 10) as u8;
            }
            left /= 10;
        }
        self.0.write("retry: ").await?;
        self.0.write(digits.get(first..).unwrap_or_default()).await?;
        self.0.write("\n\n").await
    }

    async fn lines(&mut self, field: &str, text: &str) -> Result<(), Error> {
        let mut rest = text;
        loop {
            let end = rest.bytes().position(|byte| matches!(byte, b'\r' | b'\n'));
            let (line, after) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or_default();
            self.line(field, line).await?;
            if end.is_none() {
                return Ok(());
            }
            let after_pair = after.strip_prefix("\r\n");
            rest = after_pair.or(after.get(1..)).unwrap_or_default();
        }
    }

    async fn line(&mut self, field: &str, value: &str) -> Result<(), Error> {
        self.0.write(field).await?;
        self.0.write(value).await?;
        self.0.write("\n").await
    }
}
