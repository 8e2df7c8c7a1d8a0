//! What a connection runs over: a TCP socket, known by its type, or anything else behind a pointer.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::system;

/// Bytes that the system takes beyond what the peer's window lets it send.
const UNSENT: u32 = 128 * 1024;

/// A byte stream both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The stream of a connection, until it is given up.
pub(crate) enum Transport {
    Tcp(TcpStream),
    Other(Box<dyn Stream>),
    Gone,
}

impl Transport {
    /// A TCP socket. What the system takes and has not sent is kept small, so that bytes which have left are close to the wire.
    pub(crate) fn tcp(tcp: TcpStream) -> Self {
        system::limit_unsent(&tcp, UNSENT);
        Self::Tcp(tcp)
    }

    /// A TCP socket is recognised, so that it is read and written without a virtual call; so is a transport, which stays what it is.
    pub(crate) fn new<S: Stream + 'static>(stream: S) -> Self {
        let mut stream = Some(stream);
        let any: &mut dyn Any = &mut stream;
        if let Some(transport) = any.downcast_mut::<Option<Self>>().and_then(Option::take) {
            return transport;
        }
        if let Some(tcp) = any.downcast_mut::<Option<TcpStream>>().and_then(Option::take) {
            return Self::tcp(tcp);
        }
        match stream {
            Some(stream) => Self::Other(Box::new(stream)),
            None => Self::Gone,
        }
    }

    /// The address of the other end, where this is a TCP socket.
    pub(crate) fn peer_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.peer_addr().ok(),
            Self::Other(_) | Self::Gone => None,
        }
    }

    /// Bytes that the system has taken and the peer's system has not acknowledged, where that can be told.
    pub(crate) fn unacknowledged(&self) -> Option<u32> {
        match self {
            Self::Tcp(tcp) => system::unacknowledged(tcp),
            Self::Other(_) | Self::Gone => None,
        }
    }

    /// Whether the peer has ended its side, or the stream failed; `Pending` while it may still send. What it sends is left in the
    /// socket, or where that cannot be, its first byte is put into `ahead`.
    pub(crate) fn poll_end(&mut self, ahead: &mut Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let ended = match self {
            Self::Tcp(tcp) => ready!(tcp.poll_peek(cx, &mut buffer))? == 0,
            other => {
                ready!(Pin::new(other).poll_read(cx, &mut buffer))?;
                *ahead = Bytes::copy_from_slice(buffer.filled());
                ahead.is_empty()
            }
        };
        if ended { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Shuts the writing side down. That it fails is nobody's concern.
    pub(crate) fn poll_shut_down(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(self).poll_shutdown(cx).map(drop)
    }

    /// Whether a read is worth preparing for: `false` when the socket is known to have nothing. The waker is
    /// registered then.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tcp(tcp) => tcp.poll_read_ready(cx).map(drop),
            Self::Other(_) | Self::Gone => Poll::Ready(()),
        }
    }
}

impl AsyncRead for Transport {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Other(other) => Pin::new(other).poll_read(cx, buffer),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Transport {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, data),
            Self::Other(other) => Pin::new(other).poll_write(cx, data),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Other(other) => Pin::new(other).poll_write_vectored(cx, slices),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_write_vectored(),
            Self::Other(other) => other.is_write_vectored(),
            Self::Gone => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // A socket has no buffer of its own to flush.
            Self::Tcp(_) | Self::Gone => Poll::Ready(Ok(())),
            Self::Other(other) => Pin::new(other).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Other(other) => Pin::new(other).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}
