//! Messages that are sent piece by piece (RFC 6455 5.4), in an order that cannot be wrong.

use wirelet_proto::{CloseCode, MessageKind};

use crate::connection::{Outgoing, Payload};
use crate::deflate::Compress;
use crate::{Error, SendHalf};

/// Writes a text message in fragments: any number of [`write`](Self::write), then [`finish`](Self::finish).
///
/// Dropped between the two it fails the connection (1011), since the message can neither be ended nor taken back.
/// Messages of [`Sender`](crate::Sender)s wait behind it.
///
/// ```no_run
/// # async fn example(mut ws: wirelet::WebSocket) -> Result<(), wirelet::Error> {
/// let mut message = ws.text_fragments();
/// message.write("Hello, ").await?;
/// message.write("fragmented ").await?;
/// message.finish("world").await
/// # }
/// ```
#[derive(Debug)]
pub struct TextFragments<'a>(Fragments<'a>);

/// Writes a binary message in fragments; see [`TextFragments`].
#[derive(Debug)]
pub struct BinaryFragments<'a>(Fragments<'a>);

impl<'a> TextFragments<'a> {
    pub(crate) const fn new(half: &'a mut SendHalf) -> Self {
        Self(Fragments::new(half, MessageKind::Text))
    }

    /// Whether the message is compressed, where the connection can. It counts before the first fragment.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn compress(mut self, compress: Compress) -> Self {
        self.0.compress = compress;
        self
    }

    /// Sends `piece` as a fragment; an empty one too.
    ///
    /// # Errors
    /// [`Error::Closed`].
    ///
    /// # Cancel safety
    /// A dropped future has queued the fragment whole or not at all; the message can be continued.
    pub async fn write(&mut self, piece: &str) -> Result<(), Error> {
        self.0.write(piece.as_bytes(), false).await
    }

    /// Sends `piece`, which may be empty, as the last fragment.
    ///
    /// # Errors
    /// [`Error::Closed`].
    ///
    /// # Cancel safety
    /// A future that is dropped before it has queued the fragment fails the connection.
    pub async fn finish(mut self, piece: &str) -> Result<(), Error> {
        self.0.write(piece.as_bytes(), true).await
    }
}

impl<'a> BinaryFragments<'a> {
    pub(crate) const fn new(half: &'a mut SendHalf) -> Self {
        Self(Fragments::new(half, MessageKind::Binary))
    }

    /// Whether the message is compressed, where the connection can. It counts before the first fragment.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn compress(mut self, compress: Compress) -> Self {
        self.0.compress = compress;
        self
    }

    /// Sends `piece` as a fragment; an empty one too.
    ///
    /// # Errors
    /// [`Error::Closed`].
    ///
    /// # Cancel safety
    /// A dropped future has queued the fragment whole or not at all; the message can be continued.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.0.write(piece, false).await
    }

    /// Sends `piece`, which may be empty, as the last fragment.
    ///
    /// # Errors
    /// [`Error::Closed`].
    ///
    /// # Cancel safety
    /// A future that is dropped before it has queued the fragment fails the connection.
    pub async fn finish(mut self, piece: &[u8]) -> Result<(), Error> {
        self.0.write(piece, true).await
    }
}

#[derive(Debug)]
struct Fragments<'a> {
    half: &'a mut SendHalf,
    kind: MessageKind,
    compress: Compress,
    unfinished: bool,
}

impl<'a> Fragments<'a> {
    const fn new(half: &'a mut SendHalf, kind: MessageKind) -> Self {
        Self { half, kind, compress: Compress::Auto, unfinished: false }
    }

    async fn write(&mut self, piece: &[u8], fin: bool) -> Result<(), Error> {
        let half = &*self.half;
        let (kind, compress, unfinished) = (self.kind, self.compress, &mut self.unfinished);
        let mut frame = Some(Outgoing { kind, payload: Payload::Borrowed(piece), fin, compress });
        std::future::poll_fn(|cx| {
            let sent = half.shared.poll_send(cx, &mut frame, true);
            if frame.is_none() {
                *unfinished = !fin;
            }
            sent
        })
        .await
    }
}

impl Drop for Fragments<'_> {
    fn drop(&mut self) {
        if self.unfinished {
            // When the connection is closing already there is nothing left to say.
            let _ = self.half.shared.close(CloseCode::INTERNAL_ERROR, "");
        }
    }
}
