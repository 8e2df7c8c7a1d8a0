//! Sockets of any stack that has the traits of `edge-nal`: `edge-nal-embassy`, `edge-nal-std` (which also runs on ESP-IDF), others.

use core::net::{IpAddr, SocketAddr};

use edge_nal::{AddrType, Close, Dns, TcpAccept, TcpConnect, TcpShutdown, TcpSplit};
use embedded_io_async::{Error as _, ErrorKind, ErrorType};

use crate::net::{Connect, Listen, Remote, Socket};

/// Accepts connections from what a stack has bound. Several workers may share it: `EdgeListener(&bound)` for each.
///
/// ```
/// use edge_nal::TcpBind as _;
/// # use wirelet_embedded::{EdgeConnector, EdgeListener, Error, StdClock, WebSocket};
/// # use wirelet_embedded::server::{Resources, Server, Route, Settings, WebSocketRoute};
/// # use wirelet_embedded::client::{Client, ClientResources, Finished, Options};
/// # use wirelet_embedded::proto::{Config, handshake::Uri};
/// # static SETTINGS: Settings<'static> =
/// #     Settings::new(&[Route::websocket("/ws", &WebSocketRoute::pull(&Config::new()))]);
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
/// # fn main() { async_io::block_on(async {
/// let network = edge_nal_std::Stack::new();
///
/// // A server
/// # // A port that is free.
/// # let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
/// # let [address, uri] = [free.to_string(), format!("ws://localhost:{}/ws", free.port())];
/// let bound = network.bind(address.parse().unwrap()).await.unwrap();
/// let mut resources = Resources::<2, 1024, 1024, 256>::new();
/// let (server, handle) = Server::new(&mut resources, &SETTINGS);
/// let [mut one, mut two] = server.into_workers();
/// let (mut first, mut second) = (EdgeListener(&bound), EdgeListener(&bound));
/// let first = one.run_with(&mut first, &StdClock, echo);
/// let second = two.run_with(&mut second, &StdClock, echo);
///
/// // A client
/// let options = Options::new(Uri::parse(&uri).unwrap());
/// let mut resources = ClientResources::<1024, 1024, 256>::new();
/// let (mut client, sender) = Client::new(&mut resources, &options);
/// let mut connector = EdgeConnector::new(&network, &network);
/// let mut keys = wirelet_embedded::Csprng(getrandom::rand_core::UnwrapErr(getrandom::SysRng));
/// let client = client.run_with(&mut connector, &StdClock, &mut keys, &(), hello);
/// # let all = embassy_futures::join::join3(first, second, async {
/// #     assert!(matches!(client.await, Finished::Ended(_)));
/// #     handle.stop();
/// # });
/// # all.await;
/// # }) }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EdgeListener<A>(pub A);

impl<A: TcpAccept> Listen for EdgeListener<A> {
    type Socket<'l>
        = EdgeSocket<A::Socket<'l>>
    where
        Self: 'l;
    type Error = A::Error;

    async fn accept(&mut self) -> Result<Self::Socket<'_>, A::Error> {
        let (peer, socket) = self.0.accept().await?;
        Ok(EdgeSocket { socket, peer })
    }
}

/// Opens connections of a stack; `D` resolves names. It does no TLS.
#[derive(Clone, Copy, Debug)]
pub struct EdgeConnector<C, D> {
    stack: C,
    names: D,
}

impl<C: TcpConnect, D: Dns> EdgeConnector<C, D> {
    /// Connects by `stack` to what `names` finds. They may be one value behind two references.
    pub const fn new(stack: C, names: D) -> Self {
        Self { stack, names }
    }
}

impl<C: TcpConnect, D: Dns> Connect for EdgeConnector<C, D> {
    type Socket<'c>
        = EdgeSocket<C::Socket<'c>>
    where
        Self: 'c;
    type Error = ErrorKind;

    async fn connect(&mut self, to: Remote<'_>) -> Result<Self::Socket<'_>, ErrorKind> {
        if to.secure {
            return Err(ErrorKind::Unsupported);
        }
        let address = match to.host.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) => {
                // IPv4 is what every stack has.
                let found = self.names.get_host_by_name(to.host, AddrType::IPv4).await;
                found.map_err(|_| ErrorKind::AddrNotAvailable)?
            }
        };
        let peer = SocketAddr::new(address, to.port);
        let socket = self.stack.connect(peer).await.map_err(|error| error.kind())?;
        Ok(EdgeSocket { socket, peer })
    }
}

/// A connected socket of `edge-nal`.
#[derive(Debug)]
pub struct EdgeSocket<S> {
    socket: S,
    peer: SocketAddr,
}

impl<S: TcpSplit + TcpShutdown> Socket for EdgeSocket<S> {
    type Error = <S as ErrorType>::Error;
    type Reader<'s>
        = S::Read<'s>
    where
        Self: 's;
    type Writer<'s>
        = S::Write<'s>
    where
        Self: 's;

    fn split(&mut self) -> (S::Read<'_>, S::Write<'_>) {
        self.socket.split()
    }

    async fn shutdown(&mut self) -> Result<(), Self::Error> {
        self.socket.close(Close::Write).await
    }

    fn peer(&self) -> Option<SocketAddr> {
        Some(self.peer)
    }
}
