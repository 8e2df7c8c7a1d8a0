//! The two halves of a connection, for two tasks.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use wirelet_proto::{CloseCode, LimitError, MessageKind};

use crate::connection::queue::Queued;
use crate::connection::{Outgoing, Payload, Shared};
use crate::deflate::Compress;
use crate::{BinaryFragments, Chunk, Error, Event, Message, MessageRef, Peer, Sender, Text, TextFragments};

/// The receiving half of a [`WebSocket`](crate::WebSocket).
///
/// Dropping it discards what arrives from then on.
pub struct ReceiveHalf {
    pub(crate) shared: Arc<Shared>,
    partial: Partial,
}

/// Where chunks are delivered: what has been received of a message that has not ended.
enum Partial {
    Nothing,
    /// The application has it, and takes the rest.
    Taken,
    /// It is to be handed over whole.
    Gathered(Box<Gathered>),
}

struct Gathered {
    kind: MessageKind,
    data: BytesMut,
}

/// The sending half of a [`WebSocket`](crate::WebSocket), which alone may send fragments and close. For many tasks
/// there are [`Sender`]s.
pub struct SendHalf {
    pub(crate) shared: Arc<Shared>,
}

impl ReceiveHalf {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, partial: Partial::Nothing }
    }

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
        poll_fn(|cx| self.poll_event(cx, true)).await.transpose()
    }

    /// As [`WebSocket::recv_whole`](crate::WebSocket::recv_whole).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn recv_whole(&mut self, most: usize) -> Result<Option<Message>, Error> {
        poll_fn(|cx| self.poll_whole(cx, most)).await.transpose()
    }

    /// As [`WebSocket::recv_rest`](crate::WebSocket::recv_rest).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Once polled, nothing is lost when the future is dropped.
    pub async fn recv_rest(&mut self, first: Chunk, most: usize) -> Result<Option<Message>, Error> {
        if !first.first || first.last == matches!(self.partial, Partial::Taken) {
            return Err(Error::Misuse("that is not the first chunk of the message that is being received"));
        }
        self.partial = Partial::Nothing;
        // Whoever has a chunk may have changed it.
        match self.gather(first, most, false) {
            Some(whole) => whole.map(Some),
            None => self.recv_whole(most).await,
        }
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
            return Poll::Ready(Some(Err(Error::Misuse(
                "chunks are delivered: receive them as such, or by `recv_whole`",
            ))));
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

    /// The next event, a message or a chunk among them.
    fn poll_event(&mut self, cx: &mut Context<'_>, control: bool) -> Poll<Option<Result<Event, Error>>> {
        if matches!(self.partial, Partial::Gathered(_)) {
            let Partial::Gathered(gathered) = std::mem::replace(&mut self.partial, Partial::Taken) else {
                return Poll::Pending;
            };
            let Gathered { kind, data } = *gathered;
            let chunk = Chunk { kind, data: data.freeze(), offset: 0, frame: None, first: true, last: false };
            return Poll::Ready(Some(Ok(Event::Chunk(chunk))));
        }
        let polled = self.shared.poll_recv(cx, control);
        if let Poll::Ready(Some(Ok(Event::Chunk(chunk)))) = &polled {
            self.partial = if chunk.last { Partial::Nothing } else { Partial::Taken };
        }
        polled
    }

    fn poll_whole(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Option<Result<Message, Error>>> {
        if matches!(self.partial, Partial::Taken) {
            return Poll::Ready(Some(Err(Error::Misuse("a message has begun: receive its other chunks"))));
        }
        loop {
            let chunk = match ready!(self.shared.poll_recv(cx, false)) {
                Some(Ok(Event::Chunk(chunk))) => chunk,
                Some(Ok(Event::Message(message))) => whole(message),
                Some(Ok(Event::Ping(_) | Event::Pong(_))) => continue,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            };
            if let Some(gathered) = self.gather(chunk, most, true) {
                return Poll::Ready(Some(gathered));
            }
        }
    }

    /// Adds a chunk to the message that is gathered; answers the message when it is whole. `checked`: the core has checked the chunk,
    /// and nobody has had it since.
    fn gather(&mut self, chunk: Chunk, most: usize, checked: bool) -> Option<Result<Message, Error>> {
        let Chunk { kind, data, last, .. } = chunk;
        let partial = std::mem::replace(&mut self.partial, Partial::Nothing);
        let before = if let Partial::Gathered(gathered) = &partial { gathered.data.len() } else { 0 };
        if data.len() > most.saturating_sub(before) {
            // It may be closing already.
            let _ = self.shared.close(CloseCode::MESSAGE_TOO_BIG, "");
            return Some(Err(Error::Limit(LimitError::Message)));
        }
        let mut gathered = match partial {
            Partial::Gathered(gathered) => gathered,
            _ if last && checked => return Some(Ok(Message::checked(kind, data))),
            _ if last => return Some(message(kind, data)),
            _ => Box::new(Gathered { kind, data: BytesMut::new() }),
        };
        gathered.data.extend_from_slice(&data);
        if last {
            return Some(message(gathered.kind, gathered.data.freeze()));
        }
        self.partial = Partial::Gathered(gathered);
        None
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Chunk, Error>>> {
        loop {
            match ready!(self.poll_event(cx, false)) {
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

/// A message of pieces of which one has been in the application's hands.
fn message(kind: MessageKind, data: Bytes) -> Result<Message, Error> {
    match kind {
        MessageKind::Binary => Ok(Message::Binary(data)),
        MessageKind::Text => {
            let text = Text::try_from(data);
            text.map(Message::Text).map_err(|_| Error::Misuse("a chunk of a text has been changed"))
        }
    }
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
