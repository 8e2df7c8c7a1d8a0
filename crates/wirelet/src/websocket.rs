//! The connection as the application holds it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};
use wirelet_proto::{CloseCode, CloseInfo, Config, Outcome, Role, State, Upgraded};

use crate::connection::driver::{Driver, judged};
use crate::connection::{Made, Shared};
use crate::deflate::Negotiated;
#[cfg(feature = "deflate")]
use crate::deflate::{Compress, Compression, CompressionInfo};
use crate::time::Clock;
use crate::transport::Transport;
use crate::{
    BinaryFragments, Chunk, Error, Event, Message, MessageRef, Peer, ReceiveHalf, SendHalf, Sender,
    TextFragments,
};

/// A WebSocket connection after its opening handshake.
///
/// [`send`](Self::send) means the same everywhere: when it is ready the message leaves without another call. In a handler of a
/// server it is queued, and all that was sent leaves in one write as soon as the handler waits for something: there is nothing to
/// flush. A connection without a task, of [`from_upgraded`](Self::from_upgraded) or of a client, has written it;
/// [`feed`](Self::feed) gathers messages for one write there.
///
/// A connection without a task is moved by whatever is polled of it: pings are answered and deadlines looked at while
/// [`recv`](Self::recv), [`send`](Self::send), [`flush`](Self::flush) or [`close`](Self::close) is waited for, and not otherwise.
/// [`drive`](Self::drive) gives it a task.
///
/// Dropping it: a connection without a task ends at once. If its closing handshake has begun, a task finishes that first (inside a
/// tokio runtime). In a handler, of a server or of [`drive`](Self::drive), the connection stays until the handler returns; what
/// arrives is discarded. Return from the handler, or call [`close`](Self::close), to end it.
///
/// It is a [`Stream`] of messages and a [`Sink`] for them too.
#[derive(Debug)]
pub struct WebSocket {
    receive: ReceiveHalf,
    send: SendHalf,
}

impl WebSocket {
    /// A connection over any byte stream on which some HTTP library has done the opening handshake. `leftover` is
    /// what it has read beyond that.
    ///
    /// A [`TcpStream`](tokio::net::TcpStream) is used without indirection. Switch its Nagle algorithm off.
    pub fn from_upgraded<S>(stream: S, role: Role, config: Arc<Config>, leftover: &[u8]) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self::with_upgraded(stream, role, config, Upgraded::default(), leftover)
    }

    /// [`from_upgraded`](Self::from_upgraded) with what the handshake has agreed on. Compression, where it has agreed on
    /// that, is [`Compression::shared`]; without the feature `deflate` there is none, and a compressed message an error.
    pub fn with_upgraded<S>(
        stream: S,
        role: Role,
        config: Arc<Config>,
        upgraded: Upgraded,
        leftover: &[u8],
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        #[cfg(feature = "deflate")]
        let negotiated =
            upgraded.extensions.deflate.map(|params| Negotiated::elsewhere(params, &Compression::shared()));
        #[cfg(not(feature = "deflate"))]
        let negotiated = None;
        Self::with_negotiated(stream, role, config, upgraded.subprotocol, negotiated, leftover)
    }

    /// [`with_upgraded`](Self::with_upgraded) where the handshake has agreed on compression by what
    /// [`Compression::settings`] says.
    #[cfg(feature = "deflate")]
    pub fn with_compression<S>(
        stream: S,
        role: Role,
        config: Arc<Config>,
        upgraded: Upgraded,
        compression: &Compression,
        leftover: &[u8],
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let agreed = |params| Negotiated::elsewhere(params, compression);
        let negotiated = upgraded.extensions.deflate.map(agreed);
        Self::with_negotiated(stream, role, config, upgraded.subprotocol, negotiated, leftover)
    }

    pub(crate) fn with_negotiated<S>(
        stream: S,
        role: Role,
        config: Arc<Config>,
        subprotocol: Option<u16>,
        negotiated: Option<Negotiated>,
        leftover: &[u8],
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (transport, clock) = (Transport::new(stream), Clock::start());
        let response = &[];
        let made = Made { transport, role, config, subprotocol, negotiated, leftover, response, clock };
        Self::new(Shared::new(made))
    }

    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { receive: ReceiveHalf::new(Arc::clone(&shared)), send: SendHalf { shared } }
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.send.shared
    }

    /// The next message; `None` when the connection has been closed, or its error has been told.
    ///
    /// The message is a counted slice of the memory it was received in. Pings are answered on the way.
    ///
    /// # Errors
    /// [`Error::Protocol`], [`Error::Limit`], [`Error::Timeout`], [`Error::Io`], [`Error::Abnormal`]: once, and `None`
    /// from then on. [`Error::Misuse`] with [`Delivery::Chunks`](wirelet_proto::Delivery::Chunks): use
    /// [`recv_whole`](Self::recv_whole) or [`recv_chunk`](Self::recv_chunk).
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<Message>, Error>> + Send {
        self.receive.recv()
    }

    /// The next piece of a message, with [`Delivery::Chunks`](wirelet_proto::Delivery::Chunks): messages may be
    /// larger than memory. With whole messages each is its only chunk.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn recv_chunk(&mut self) -> Result<Option<Chunk>, Error> {
        self.receive.recv_chunk().await
    }

    /// The next message whole, where it may also be received in chunks: with
    /// [`Delivery::Chunks`](wirelet_proto::Delivery::Chunks) each call chooses for the message that is next. At most `most` bytes are
    /// gathered for it; a larger one closes the connection with 1009. A message that came as one piece is not copied.
    ///
    /// [`Limits::message`](wirelet_proto::Limits::message) is then what chunks may amount to: as large as the largest upload.
    ///
    /// ```no_run
    /// # use wirelet::{Error, WebSocket, proto::MessageKind};
    /// # async fn file(chunk: &[u8]) {}
    /// # async fn chat(text: &str) {}
    /// # async fn example(mut ws: WebSocket) -> Result<(), Error> {
    /// // Texts are a chat, whole and small; binary messages are uploads of any size.
    /// while let Some(first) = ws.recv_chunk().await? {
    ///     if first.kind == MessageKind::Text {
    ///         if let Some(message) = ws.recv_rest(first, 4096).await? {
    ///             chat(message.as_text().unwrap_or_default()).await;
    ///         }
    ///         continue;
    ///     }
    ///     let mut chunk = first;
    ///     while !chunk.last {
    ///         file(&chunk.data).await;
    ///         let Some(next) = ws.recv_chunk().await? else { return Ok(()) };
    ///         chunk = next;
    ///     }
    ///     file(&chunk.data).await;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`Error::Limit`] for one that is larger; [`Error::Misuse`] where a message has begun to be received in
    /// chunks.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped: the next call goes on, and [`recv_chunk`](Self::recv_chunk) answers what was gathered.
    pub async fn recv_whole(&mut self, most: usize) -> Result<Option<Message>, Error> {
        self.receive.recv_whole(most).await
    }

    /// The message that begins with `first`, which [`recv_chunk`](Self::recv_chunk) has just answered, whole: as
    /// [`recv_whole`](Self::recv_whole), when the first piece has said what it is. `None` when the connection ends before it does.
    ///
    /// # Errors
    /// As [`recv_whole`](Self::recv_whole); [`Error::Misuse`] where `first` is not the chunk that was received last, and for a text that
    /// is none with it.
    ///
    /// # Cancel safety
    /// Once polled, nothing is lost when the future is dropped: [`recv_whole`](Self::recv_whole) goes on.
    pub async fn recv_rest(&mut self, first: Chunk, most: usize) -> Result<Option<Message>, Error> {
        self.receive.recv_rest(first, most).await
    }

    /// The next message or chunk, ping or pong.
    ///
    /// Pings and pongs are kept as events from the first call on.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn recv_event(&mut self) -> Result<Option<Event>, Error> {
        self.receive.recv_event().await
    }

    /// Calls `act` for each message until the connection ends, as fast as messages can be handled: `act` does not wait, the message
    /// is lent to it, and it answers through [`Peer`]. What comes before is done before this is called, and what comes at the end
    /// after it has returned.
    ///
    /// While 64 KiB are queued and the peer does not read, no message is handed over. Compressed messages and fragmented ones are
    /// handed over whole too. What takes longer than other connections of the thread can wait is another task's work, which
    /// answers through a [`Sender`].
    ///
    /// ```no_run
    /// # use wirelet::server::{Router, ws};
    /// # fn router() -> Router {
    /// Router::new().ws("/echo", ws(|mut ws, _context| async move {
    ///     ws.for_each_message(|peer, message| {
    ///         let _ = peer.send(message); // fails when the connection is closing
    ///     }).await
    /// }))
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped: each message has been handed over whole or will be received.
    pub async fn for_each_message<F>(&mut self, mut act: F) -> Result<(), Error>
    where
        F: FnMut(&mut Peer<'_>, MessageRef<'_>) + Send,
    {
        loop {
            let Some(message) = poll_fn(|cx| self.receive.poll_lend(cx, &mut act)).await.transpose()? else {
                return Ok(());
            };
            act(&mut Peer::elsewhere(&self.send), (&message).into());
            // Why not an error: receiving says why the connection has ended.
            let _ = self.send.flush_without_task().await;
            let _ = poll_fn(|cx| self.shared().poll_room(cx)).await;
        }
    }

    /// Sends a message: `&str`, `String`, [`Text`](crate::Text), `Vec<u8>`, [`Bytes`](bytes::Bytes) or [`Message`].
    ///
    /// When it is ready the message leaves without another call: in a server's handler it is queued, and leaves when the handler
    /// waits next; without a task it has been written. It waits while 64 KiB are queued and the peer does not read. What other
    /// tasks have queued before, through [`Sender`]s, leaves before it.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection is closed or closing; [`recv`](Self::recv) says why.
    ///
    /// # Cancel safety
    /// A dropped future has queued the message whole or not at all.
    pub fn send(&mut self, message: impl Into<Message>) -> impl Future<Output = Result<(), Error>> + Send {
        self.send.send(message)
    }

    /// [`send`](Self::send), saying whether the message is compressed.
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
        self.send.send_with(message, compress)
    }

    /// [`send`](Self::send) for text that is borrowed: no memory is allocated for it.
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
        self.send.send_text(text)
    }

    /// [`send`](Self::send) for data that is borrowed: no memory is allocated for it.
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
        self.send.send_binary(data)
    }

    /// Queues a message, to be written together with others: by [`flush`](Self::flush), by the next
    /// [`send`](Self::send), or when [`recv`](Self::recv) waits.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub fn feed(&mut self, message: impl Into<Message>) -> impl Future<Output = Result<(), Error>> + Send {
        self.send.feed(message)
    }

    /// Waits until everything that was sent has been handed to the network.
    ///
    /// # Errors
    /// [`Error::Closed`]: it never will be.
    ///
    /// # Cancel safety
    /// What is queued stays queued.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.send.flush().await
    }

    /// Sends a ping with up to 125 bytes. Keepalive pings are sent by themselves. It waits for room as [`send`](Self::send) does.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Misuse`] for a longer payload.
    ///
    /// # Cancel safety
    /// A dropped future has queued the ping or not.
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.send.ping(payload).await
    }

    /// Closes the connection behind all that was sent, and waits for the end. First this end's close frame has to leave:
    /// [`Limits::stalled_time`](wirelet_proto::Limits::stalled_time) and [`Limits::slowest`](wirelet_proto::Limits::slowest)
    /// limit that. Then the peer has [`Limits::closing_time`](wirelet_proto::Limits::closing_time) to answer. Messages that still
    /// arrive are discarded. A fragmented message that has begun stays without an end.
    /// [`CloseCode::NO_STATUS`] closes without a code.
    ///
    /// Where the closing handshake has begun already it waits for its end.
    ///
    /// # Errors
    /// What [`recv`](Self::recv) would have said: the peer did not answer in time, or ended the connection otherwise.
    /// [`Error::Misuse`] for a code that must not be sent or a reason of more than 123 bytes.
    ///
    /// # Cancel safety
    /// Once polled, the closing handshake has begun. With a task it goes on by itself; without one, while something of the
    /// connection is polled.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        match self.shared().close(code, reason) {
            Ok(()) | Err(Error::Closed) => poll_fn(|cx| self.shared().poll_closed(cx)).await,
            Err(error) => Err(error),
        }
    }

    /// Begins a text message that is sent in fragments.
    pub const fn text_fragments(&mut self) -> TextFragments<'_> {
        self.send.text_fragments()
    }

    /// Begins a binary message that is sent in fragments.
    pub const fn binary_fragments(&mut self) -> BinaryFragments<'_> {
        self.send.binary_fragments()
    }

    /// Takes it apart, for two tasks. In a server the handler's future keeps the connection: it ends when the handler
    /// returns.
    pub fn split(self) -> (SendHalf, ReceiveHalf) {
        (self.send, self.receive)
    }

    /// Sends to this connection from any task.
    pub fn sender(&self) -> Sender {
        self.send.sender()
    }

    /// The connection's own future, with `handler` inside, as a server runs it: what the handler sends leaves in one
    /// write whenever it waits, pings are answered and a close is seen while it waits for something else, and
    /// [`Sender`]s of other tasks are served. For connections that were upgraded by another HTTP library.
    ///
    /// It ends when the handler has returned and the connection is closed: with 1000 after `()` and `Ok`, with 1011
    /// after an error or a panic. Dropping it drops the connection. Where the connection has a task already, as in a server's
    /// handler, the handler runs as it is.
    ///
    /// The handler must not block its thread until something happens on this connection: the connection is moved by the same
    /// task.
    ///
    /// ```no_run
    /// # async fn example(ws: wirelet::WebSocket) {
    /// tokio::spawn(ws.drive(|mut ws| async move {
    ///     while let Some(message) = ws.recv().await? {
    ///         ws.send(message).await?;
    ///     }
    ///     Ok::<_, wirelet::Error>(())
    /// }));
    /// # }
    /// ```
    pub fn drive<F, Fut>(self, handler: F) -> impl Future<Output = ()> + Send + use<F, Fut>
    where
        F: FnOnce(Self) -> Fut,
        Fut: Future + Send + 'static,
        Fut::Output: Outcome,
    {
        let shared = Arc::clone(self.shared());
        Driver::new(shared, false, move || judged(handler(self)))
    }

    /// What was agreed on about compression, and what it has saved so far; `None` without it.
    #[cfg(feature = "deflate")]
    pub fn compression(&self) -> Option<CompressionInfo> {
        self.shared().compression()
    }

    /// Open, closing or closed.
    pub fn state(&self) -> State {
        self.shared().state()
    }

    /// Who has said what about closing, so far.
    pub fn close_info(&self) -> CloseInfo {
        self.shared().close_info()
    }

    /// The reason in the peer's close frame, unless it is empty.
    pub fn close_reason(&self) -> Option<String> {
        self.shared().close_reason().map(str::to_owned)
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.shared().role()
    }

    /// The subprotocol that was agreed on, as its position in the list that was offered or is supported.
    pub fn subprotocol(&self) -> Option<u16> {
        self.shared().subprotocol()
    }
}

impl Stream for WebSocket {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receive.poll_recv(cx)
    }
}

impl Stream for ReceiveHalf {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx)
    }
}

impl Sink<Message> for SendHalf {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.shared.poll_room(cx)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.append(message)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.shared.poll_flush(cx, true)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.shared.close(CloseCode::NORMAL, "") {
            Ok(()) | Err(Error::Closed) => self.shared.poll_flush(cx, true),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Sink<Message> for WebSocket {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.shared().poll_room(cx)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.send.append(message)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.shared().poll_flush(cx, true)
    }

    /// Closes with 1000 and waits for the end, as [`WebSocket::close`].
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.shared().close(CloseCode::NORMAL, "") {
            Ok(()) | Err(Error::Closed) => self.shared().poll_closed(cx),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}
