//! Sockets of tokio behind the traits of `wirelet-embedded`.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use wirelet_embedded::net::{Connect, Listen, Remote, Socket};

/// A port that several workers accept from.
#[derive(Clone)]
pub struct Port(pub Rc<TcpListener>);

/// Connects without TLS, which [`Connector`](wirelet_embedded::tls::Connector) adds.
pub struct Dialer;

/// A connection.
pub struct Stream(TcpStream);

/// Its reading half.
pub struct Reader<'s>(ReadHalf<'s>);
/// Its writing half.
pub struct Writer<'s>(WriteHalf<'s>);

fn kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionReset => ErrorKind::ConnectionReset,
        io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
        io::ErrorKind::TimedOut => ErrorKind::TimedOut,
        _ => ErrorKind::Other,
    }
}

impl Listen for Port {
    type Socket<'l> = Stream;
    type Error = ErrorKind;

    async fn accept(&mut self) -> Result<Stream, ErrorKind> {
        let (stream, _) = self.0.accept().await.map_err(|error| kind(&error))?;
        stream.set_nodelay(true).map_err(|error| kind(&error))?;
        Ok(Stream(stream))
    }
}

impl Connect for Dialer {
    type Socket<'c> = Stream;
    type Error = ErrorKind;

    async fn connect(&mut self, to: Remote<'_>) -> Result<Stream, ErrorKind> {
        if to.secure {
            return Err(ErrorKind::Unsupported);
        }
        let stream = TcpStream::connect((to.host, to.port)).await.map_err(|error| kind(&error))?;
        stream.set_nodelay(true).map_err(|error| kind(&error))?;
        Ok(Stream(stream))
    }
}

impl Socket for Stream {
    type Error = ErrorKind;
    type Reader<'s> = Reader<'s>;
    type Writer<'s> = Writer<'s>;

    fn split(&mut self) -> (Reader<'_>, Writer<'_>) {
        let (reader, writer) = self.0.split();
        (Reader(reader), Writer(writer))
    }

    async fn shutdown(&mut self) -> Result<(), ErrorKind> {
        self.0.shutdown().await.map_err(|error| kind(&error))
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.0.peer_addr().ok()
    }
}

impl ErrorType for Reader<'_> {
    type Error = ErrorKind;
}

impl Read for Reader<'_> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(into).await.map_err(|error| kind(&error))
    }
}

impl ErrorType for Writer<'_> {
    type Error = ErrorKind;
}

impl Write for Writer<'_> {
    async fn write(&mut self, from: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write(from).await.map_err(|error| kind(&error))
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}
