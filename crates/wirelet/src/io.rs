//! A WebSocket as a byte stream, for protocols that know nothing of messages: MQTT, SSH, a database's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use wirelet_proto::CloseCode;

use crate::{Message, WebSocket};

/// The largest message that is made of what is written at once, bytes.
const LARGEST: usize = 64 * 1024;

/// A [`WebSocket`] whose binary messages are a byte stream. Where messages begin and end means nothing: a piece that is written is a
/// message, or several, and what is read is put together from whatever comes (as MQTT 5 asks in 6.0).
///
/// - A text message fails the connection with 1003.
/// - The peer's close is the end of what can be read where it is clean, 1000, 1001 or without a code, and
///   [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) otherwise. A WebSocket has no half-close.
/// - Shutting down closes with 1000, and waits for the end. What still arrives is discarded.
/// - In a server's handler what was written leaves when the handler waits for something; elsewhere when it is flushed.
///
/// The connection delivers whole messages (the default); a limit on messages is a limit on the pieces that a peer writes.
///
/// ```no_run
/// # use wirelet::server::{Router, ws};
/// use tokio::net::TcpStream;
/// use wirelet::io::ByteStream;
///
/// // MQTT over WebSocket for a broker that speaks TCP.
/// let router = Router::new().ws("/mqtt", ws(|ws, _context| async move {
///     let mut broker = TcpStream::connect("127.0.0.1:1883").await?;
///     tokio::io::copy_bidirectional(&mut ByteStream::new(ws), &mut broker).await
/// }).subprotocols(["mqtt"]));
/// ```
///
/// # Cancel safety
/// As for any byte stream: what a dropped future has not reported as read or written was not.
#[derive(Debug)]
pub struct ByteStream {
    socket: WebSocket,
    /// What was received and has not been read.
    received: Bytes,
}

impl ByteStream {
    /// The stream of a connection.
    pub const fn new(socket: WebSocket) -> Self {
        Self { socket, received: Bytes::new() }
    }

    /// The connection: how it has been closed, say.
    pub const fn socket(&self) -> &WebSocket {
        &self.socket
    }

    /// The connection again, and what was received of it and not read.
    pub fn into_parts(self) -> (WebSocket, Bytes) {
        (self.socket, self.received)
    }

    /// The end of what can be read.
    fn end(&self) -> io::Result<()> {
        match self.socket.close_info().received {
            Some(CloseCode::NORMAL | CloseCode::GOING_AWAY | CloseCode::NO_STATUS) => Ok(()),
            // This end has closed, and the peer has not answered.
            None => Ok(()),
            Some(code) => {
                let kind = io::ErrorKind::UnexpectedEof;
                Err(io::Error::new(kind, format!("the peer closed the connection with {code}")))
            }
        }
    }
}

impl AsyncBufRead for ByteStream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        // An empty message is no end.
        while this.received.is_empty() {
            match ready!(Pin::new(&mut this.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(data))) => this.received = data,
                Some(Ok(Message::Text(_))) => {
                    let _ = this.socket.shared().close(CloseCode::UNSUPPORTED_DATA, "");
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "a text message in a stream of bytes",
                    )));
                }
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                None => return Poll::Ready(this.end().map(|()| &[][..])),
            }
        }
        Poll::Ready(Ok(&this.received))
    }

    fn consume(mut self: Pin<&mut Self>, n: usize) {
        self.received.advance(n);
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let received = ready!(self.as_mut().poll_fill_buf(cx))?;
        let n = received.len().min(buffer.remaining());
        buffer.put_slice(&received[..n]);
        self.consume(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(Pin::new(&mut self.socket).poll_ready(cx))?;
        let piece = &data[..data.len().min(LARGEST)];
        Pin::new(&mut self.socket).start_send(Message::from(piece))?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(Into::into)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx).map_err(Into::into)
    }
}

impl From<WebSocket> for ByteStream {
    fn from(socket: WebSocket) -> Self {
        Self::new(socket)
    }
}
