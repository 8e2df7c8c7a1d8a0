//! The two halves of a connection, for two tasks.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use wirelet_proto::{CloseCode, MessageKind};

use crate::connection::queue::Queued;
use crate::connection::{Outgoing, Payload, Shared};
use crate::deflate::Compress;
use crate::{BinaryFragments, Chunk, Error, Event, Message, MessageRef, Peer, Sender, TextFragments};

/// The receiving half of a [`WebSocket`](crate::WebSocket).
///
/// Dropping it discards what arrives from then on.
pub struct ReceiveHalf {
    pub(crate) shared: Arc<Shared>,
}

/// The sending half of a [`WebSocket`](crate::WebSocket), which alone may send fragments and close. For many tasks
/// there are [`Sender`]s.
pub struct SendHalf {
    pub(crate) shared: Arc<Shared>,
}

impl ReceiveHalf {
    /// As [`WebSocket::recv`](crate::WebSocket::recv).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<Message>, Error>> + Send {
        poll_fn(|cx| self.poll_recv(cx).map(Option::transpose))
    }

    /// As [`WebSocket::recv_chunk`](crate::WebSocket::recv_chunk).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn recv_chunk(&mut self) -> Result<Option<Chunk>, Error> {
        poll_fn(|cx| self.poll_chunk(cx)).await.transpose()
    }

    /// As [`WebSocket::recv_event`](crate::WebSocket::recv_event).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn recv_event(&mut self) -> Result<Option<Event>, Error> {
        poll_fn(|cx| self.shared.poll_recv(cx, true)).await.transpose()
    }

    #[inline]
    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        match self.shared.poll_message(cx) {
            Some(polled) => polled.map(|message| Some(Ok(message))),
            None => self.poll_recv_any(cx),
        }
    }

    /// Lends messages to `act` as long as that is all that has to be done; the next one where it is not.
    pub(crate) fn poll_lend(
        &self,
        cx: &mut Context<'_>,
        act: &mut dyn FnMut(&mut Peer<'_>, MessageRef<'_>),
    ) -> Poll<Option<Result<Message, Error>>> {
        match self.shared.poll_lend(cx, act) {
            Some(_) => Poll::Pending,
            None => self.poll_recv(cx),
        }
    }

    fn poll_recv_any(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        // Why before anything is taken: the chunk would be lost.
        if self.shared.delivers_chunks() {
            return Poll::Ready(Some(Err(Error::Misuse("chunks are delivered: receive them as such"))));
        }
        loop {
            match ready!(self.shared.poll_recv(cx, false)) {
                Some(Ok(Event::Message(message))) => return Poll::Ready(Some(Ok(message))),
                Some(Ok(Event::Chunk(_) | Event::Ping(_) | Event::Pong(_))) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_chunk(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Chunk, Error>>> {
        loop {
            match ready!(self.shared.poll_recv(cx, false)) {
                Some(Ok(Event::Chunk(chunk))) => return Poll::Ready(Some(Ok(chunk))),
                Some(Ok(Event::Message(message))) => return Poll::Ready(Some(Ok(whole(message)))),
                Some(Ok(Event::Ping(_) | Event::Pong(_))) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// A message is the only chunk of itself.
fn whole(message: Message) -> Chunk {
    let kind = message.kind();
    Chunk { kind, data: message.into_bytes(), offset: 0, frame: None, first: true, last: true }
}

impl SendHalf {
    /// As [`WebSocket::send`](crate::WebSocket::send).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// A dropped future has queued the message whole or not at all.
    pub fn send(&mut self, message: impl Into<Message>) -> impl Future<Output = Result<(), Error>> + Send {
        self.transmit_message(message.into(), true)
    }

    /// As [`WebSocket::send_with`](crate::WebSocket::send_with).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    #[cfg(feature = "deflate")]
    pub fn send_with(
        &mut self,
        message: impl Into<Message>,
        compress: Compress,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        self.transmit_message(message.into(), true).compress(compress)
    }

    /// As [`WebSocket::send_text`](crate::WebSocket::send_text).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub fn send_text<'a>(
        &'a mut self,
        text: &'a str,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<'a> {
        self.transmit(MessageKind::Text, Payload::Borrowed(text.as_bytes()), true)
    }

    /// As [`WebSocket::send_binary`](crate::WebSocket::send_binary).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub fn send_binary<'a>(
        &'a mut self,
        data: &'a [u8],
    ) -> impl Future<Output = Result<(), Error>> + Send + use<'a> {
        self.transmit(MessageKind::Binary, Payload::Borrowed(data), true)
    }

    /// As [`WebSocket::feed`](crate::WebSocket::feed).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub fn feed(&mut self, message: impl Into<Message>) -> impl Future<Output = Result<(), Error>> + Send {
        self.transmit_message(message.into(), false)
    }

    /// As [`WebSocket::flush`](crate::WebSocket::flush).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// What is queued stays queued.
    pub async fn flush(&mut self) -> Result<(), Error> {
        let mut begins = true;
        poll_fn(|cx| self.shared.poll_flush(cx, std::mem::take(&mut begins))).await
    }

    /// As [`WebSocket::ping`](crate::WebSocket::ping).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// A dropped future has queued the ping or not.
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        poll_fn(|cx| self.shared.poll_ping(cx, payload)).await?;
        self.flush_without_task().await
    }

    /// Starts the closing handshake. Returns when the close frame is queued; on a connection without a task, when it has been
    /// written. It does not wait for the peer: the receiving half sees the end, and [`WebSocket::close`](crate::WebSocket::close)
    /// waits for it.
    ///
    /// # Errors
    /// [`Error::Closed`] when it has been started before; [`Error::Misuse`] for a code that must not be sent or a
    /// reason of more than 123 bytes.
    ///
    /// # Cancel safety
    /// Once polled, the closing handshake has begun.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.shared.close(code, reason)?;
        self.flush_without_task().await
    }

    /// As [`WebSocket::text_fragments`](crate::WebSocket::text_fragments).
    pub const fn text_fragments(&mut self) -> TextFragments<'_> {
        TextFragments::new(self)
    }

    /// As [`WebSocket::binary_fragments`](crate::WebSocket::binary_fragments).
    pub const fn binary_fragments(&mut self) -> BinaryFragments<'_> {
        BinaryFragments::new(self)
    }

    /// As [`WebSocket::sender`](crate::WebSocket::sender).
    pub fn sender(&self) -> Sender {
        Sender::new(Arc::clone(&self.shared))
    }

    /// [`feed`](Self::feed) for what has waited in a queue.
    pub(crate) fn feed_queued(&mut self, message: Queued) -> impl Future<Output = Result<(), Error>> + Send {
        let Queued { body, kind, compress, .. } = message;
        self.transmit(kind, body.into(), false).compress(compress)
    }

    /// Where nobody else will write what was queued.
    pub(crate) async fn flush_without_task(&mut self) -> Result<(), Error> {
        if self.shared.has_task() { Ok(()) } else { self.flush().await }
    }

    fn transmit_message(&self, message: Message, flush: bool) -> Transmit<'_> {
        self.transmit(message.kind(), Payload::Owned(message.into_bytes()), flush)
    }

    fn transmit<'a>(&'a self, kind: MessageKind, payload: Payload<'a>, flush: bool) -> Transmit<'a> {
        let frame = Outgoing { kind, payload, fin: true, compress: Compress::default() };
        Transmit { shared: &self.shared, frame: Some(frame), flush }
    }

    /// Queues a message that is copied.
    pub(crate) fn append_copy(&self, kind: MessageKind, payload: &[u8]) -> Result<(), Error> {
        let payload = Payload::Borrowed(payload);
        self.shared.send_now(Outgoing { kind, payload, fin: true, compress: Compress::default() })
    }

    /// Queues a message for which there is room.
    pub(crate) fn append(&self, message: Message) -> Result<(), Error> {
        let (kind, payload) = (message.kind(), Payload::Owned(message.into_bytes()));
        self.shared.send_now(Outgoing { kind, payload, fin: true, compress: Compress::default() })
    }
}

/// Queues a message, and writes it where nobody else will. By hand, since it is part of every handler's memory.
struct Transmit<'a> {
    shared: &'a Arc<Shared>,
    frame: Option<Outgoing<'a>>,
    flush: bool,
}

impl Transmit<'_> {
    const fn compress(mut self, compress: Compress) -> Self {
        if let Some(frame) = &mut self.frame {
            frame.compress = compress;
        }
        self
    }
}

impl Future for Transmit<'_> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.shared.poll_send(cx, &mut this.frame, this.flush)
    }
}

impl Drop for ReceiveHalf {
    fn drop(&mut self) {
        self.shared.receiver_dropped();
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        self.shared.half_dropped();
    }
}

impl std::fmt::Debug for ReceiveHalf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReceiveHalf")
    }
}

impl std::fmt::Debug for SendHalf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SendHalf")
    }
}
