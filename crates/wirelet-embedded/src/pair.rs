//! Two halves that have been split by value already: a reader and a writer of `embedded-io-async`.

use embedded_io_async::{Error as _, ErrorKind, ErrorType, Read, Write};

use crate::net::{Connect, Listen, Remote, Socket};

/// A reader and a writer as a [`Socket`]: the halves of a transport that is split by value, of a serial port, of two pipes.
///
/// The writing side is ended by dropping the writer: what has no end otherwise needs a writer whose `Drop` makes one, or each closing
/// takes [`Limits::closing_time`](wirelet_proto::Limits::closing_time). The rules for both halves are those of [`Socket::Reader`] and
/// [`Socket::Writer`].
///
/// tokio's sockets, by the adapters of `embedded-io-adapters`:
///
/// ```
/// use embedded_io_adapters::tokio_1::FromTokio;
/// use embedded_io_async::ErrorKind;
/// use tokio::net::{TcpListener, TcpStream};
/// use wirelet_embedded::Pair;
/// use wirelet_embedded::net::{Socket, from_fn};
/// # use wirelet_embedded::{Error, StdClock, WebSocket};
/// # use wirelet_embedded::server::{Resources, Server, Route, Settings, WebSocketRoute};
/// # use wirelet_embedded::client::{Client, ClientResources, Finished, Options};
/// # use wirelet_embedded::proto::{Config, handshake::Uri};
/// # static SETTINGS: Settings<'static> =
/// #     Settings { spare: 0, ..Settings::new(&[Route::websocket("/ws", &WebSocketRoute::pull(&Config::new()))]) };
/// # async fn echo(mut ws: WebSocket<'_>) -> Result<(), Error> {
/// #     let mut buffer = [0; 512];
/// #     while let Some(message) = ws.recv(&mut buffer).await? {
/// #         ws.send(message).await?;
/// #     }
/// #     Ok(())
/// # }
/// # async fn hello(mut ws: WebSocket<'_>) -> Result<(), Error> {
/// #     ws.send("hello").await?;
/// #     let mut buffer = [0; 512];
/// #     let answer = ws.recv(&mut buffer).await?.map(|answer| answer.bytes() == b"hello");
/// #     assert_eq!(answer, Some(true));
/// #     Ok(())
/// # }
///
/// fn pair(stream: TcpStream) -> impl Socket {
///     let (reader, writer) = stream.into_split();
///     Pair::new(FromTokio::new(reader), FromTokio::new(writer))
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// // A server
/// let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
/// let address = port.local_addr().unwrap();
/// let mut listener = from_fn(async || match port.accept().await {
///     Ok((stream, _)) => Ok(pair(stream)),
///     Err(_) => Err(ErrorKind::Other),
/// });
/// let mut resources = Resources::<1, 1024, 1024, 256>::new();
/// let (server, handle) = Server::new(&mut resources, &SETTINGS);
/// let [mut worker] = server.into_workers();
/// let server = worker.run_with(&mut listener, &StdClock, echo);
///
/// // A client
/// let mut connector = from_fn(async || match TcpStream::connect(address).await {
///     Ok(stream) => Ok(pair(stream)),
///     Err(_) => Err(ErrorKind::ConnectionRefused),
/// });
/// let options = Options::new(Uri::parse("ws://localhost/ws").unwrap());
/// let mut resources = ClientResources::<1024, 1024, 256>::new();
/// let (mut client, sender) = Client::new(&mut resources, &options);
/// let mut keys = wirelet_embedded::Csprng(getrandom::rand_core::UnwrapErr(getrandom::SysRng));
/// let client = client.run_with(&mut connector, &StdClock, &mut keys, &(), hello);
/// # tokio::join!(server, async {
/// #     assert!(matches!(client.await, Finished::Ended(_)));
/// #     handle.stop();
/// # });
/// # }
/// ```
#[derive(Debug)]
pub struct Pair<R, W> {
    reader: R,
    /// Until the writing side has been ended.
    writer: Option<W>,
}

impl<R: Read, W: Write> Pair<R, W> {
    /// A connection of both halves.
    pub const fn new(reader: R, writer: W) -> Self {
        Self { reader, writer: Some(writer) }
    }
}

impl<R: Read, W: Write> Socket for Pair<R, W> {
    type Error = ErrorKind;
    type Reader<'s>
        = PairReader<'s, R>
    where
        Self: 's;
    type Writer<'s>
        = PairWriter<'s, W>
    where
        Self: 's;

    fn split(&mut self) -> (PairReader<'_, R>, PairWriter<'_, W>) {
        (PairReader(&mut self.reader), PairWriter(self.writer.as_mut()))
    }

    async fn shutdown(&mut self) -> Result<(), ErrorKind> {
        self.writer = None;
        Ok(())
    }
}

/// The reading half of a [`Pair`].
#[derive(Debug)]
pub struct PairReader<'s, R>(&'s mut R);

/// The writing half of a [`Pair`].
#[derive(Debug)]
pub struct PairWriter<'s, W>(Option<&'s mut W>);

impl<R> ErrorType for PairReader<'_, R> {
    type Error = ErrorKind;
}

impl<W> ErrorType for PairWriter<'_, W> {
    type Error = ErrorKind;
}

impl<R: Read> Read for PairReader<'_, R> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(buffer).await.map_err(|error| error.kind())
    }
}

impl<W: Write> Write for PairWriter<'_, W> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let Some(writer) = &mut self.0 else { return Err(ErrorKind::BrokenPipe) };
        writer.write(bytes).await.map_err(|error| error.kind())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        let Some(writer) = &mut self.0 else { return Err(ErrorKind::BrokenPipe) };
        writer.flush().await.map_err(|error| error.kind())
    }
}

/// A [`Listen`], or a [`Connect`] without TLS, that is an async closure: see [`from_fn`].
#[derive(Clone, Copy, Debug)]
pub struct FromFn<F>(F);

/// A [`Listen`], or a [`Connect`] without TLS, of an async closure that returns the next connection, or why there is none. A
/// connector that needs to know where to connect to implements [`Connect`] itself.
pub const fn from_fn<F>(function: F) -> FromFn<F> {
    FromFn(function)
}

impl<F, S, E> Listen for FromFn<F>
where
    F: AsyncFnMut() -> Result<S, E>,
    S: Socket,
    E: embedded_io_async::Error,
{
    type Socket<'l>
        = S
    where
        Self: 'l;
    type Error = E;

    async fn accept(&mut self) -> Result<S, E> {
        (self.0)().await
    }
}

impl<F, S, E> Connect for FromFn<F>
where
    F: AsyncFnMut() -> Result<S, E>,
    S: Socket,
    E: embedded_io_async::Error,
{
    type Socket<'c>
        = S
    where
        Self: 'c;
    type Error = ErrorKind;

    async fn connect(&mut self, to: Remote<'_>) -> Result<S, ErrorKind> {
        if to.secure {
            return Err(ErrorKind::Unsupported);
        }
        (self.0)().await.map_err(|error| error.kind())
    }
}
