//! A server and a client with the buffers of their sockets, for statics, and the macro that declares them with their tasks.

use embassy_net::{IpListenEndpoint, Stack};
use wirelet_proto::{MaskKeys, Outcome};

use super::{EmbassyConnector, EmbassyListener};
use crate::client::{Client, ClientHandler, ClientResources, Finished, Options, Sender};
use crate::handle::Handle;
use crate::server::{Resources, Server, Settings, Worker};
use crate::time::EmbassyClock;
use crate::websocket::WebSocket;

/// The memory of a server on embassy: [`Resources`], and for each connection a socket's buffers of `TCP` bytes each way. One or two
/// segments (1,460 bytes) are a good size.
///
/// For a `ConstStaticCell`; [`embassy!`](crate::embassy!) declares one, with the tasks of its workers.
#[derive(Debug)]
pub struct EmbassyServer<
    const CONNECTIONS: usize,
    const RX: usize,
    const TX: usize,
    const QUEUE: usize,
    const TCP: usize,
> {
    resources: Resources<'static, CONNECTIONS, RX, TX, QUEUE>,
    tcp: [[[u8; TCP]; 2]; CONNECTIONS],
}

impl<const CONNECTIONS: usize, const RX: usize, const TX: usize, const QUEUE: usize, const TCP: usize>
    EmbassyServer<CONNECTIONS, RX, TX, QUEUE, TCP>
{
    /// Memory that nobody uses yet.
    pub const fn new() -> Self {
        Self { resources: Resources::new(), tcp: [[[0; TCP]; 2]; CONNECTIONS] }
    }

    /// One worker for each connection, each for a task of its own, and the handle to the connections. Each worker takes one of the
    /// stack's sockets.
    pub fn start(
        &'static mut self,
        stack: Stack<'static>,
        endpoint: impl Into<IpListenEndpoint>,
        settings: &'static Settings<'static>,
    ) -> (impl Iterator<Item = EmbassyWorker<RX, TX>>, Handle<'static>) {
        let (server, handle) = Server::new(&mut self.resources, settings);
        let endpoint = endpoint.into();
        let workers = server.into_workers().into_iter().zip(&mut self.tcp);
        let workers = workers.map(move |(worker, [rx, tx])| EmbassyWorker {
            worker,
            listener: EmbassyListener::new(stack, endpoint, rx, tx, None),
        });
        (workers, handle)
    }
}

impl<const CONNECTIONS: usize, const RX: usize, const TX: usize, const QUEUE: usize, const TCP: usize> Default
    for EmbassyServer<CONNECTIONS, RX, TX, QUEUE, TCP>
{
    fn default() -> Self {
        Self::new()
    }
}

/// A worker with its socket.
#[derive(Debug)]
pub struct EmbassyWorker<const RX: usize, const TX: usize> {
    worker: Worker<'static, 'static, RX, TX>,
    listener: EmbassyListener<'static>,
}

impl<const RX: usize, const TX: usize> EmbassyWorker<RX, TX> {
    /// As [`Worker::run`].
    ///
    /// # Cancel safety
    /// As there.
    pub fn run(&mut self) -> impl Future<Output = ()> {
        self.worker.run(&mut self.listener, &EmbassyClock)
    }

    /// As [`Worker::run_with`].
    ///
    /// # Cancel safety
    /// As there.
    pub fn run_with<O: Outcome>(
        &mut self,
        function: impl AsyncFn(WebSocket<'_>) -> O,
    ) -> impl Future<Output = ()> {
        self.worker.run_with(&mut self.listener, &EmbassyClock, function)
    }
}

/// The memory of a client on embassy: [`ClientResources`], and its socket's buffers of `TCP` bytes each way.
///
/// For a `ConstStaticCell`; [`embassy!`](crate::embassy!) declares one, with the client's task.
#[derive(Debug)]
pub struct EmbassyClientMemory<const RX: usize, const TX: usize, const QUEUE: usize, const TCP: usize> {
    resources: ClientResources<'static, RX, TX, QUEUE>,
    tcp: [[u8; TCP]; 2],
}

impl<const RX: usize, const TX: usize, const QUEUE: usize, const TCP: usize>
    EmbassyClientMemory<RX, TX, QUEUE, TCP>
{
    /// Memory that nobody uses yet.
    pub const fn new() -> Self {
        Self { resources: ClientResources::new(), tcp: [[0; TCP]; 2] }
    }

    /// The client, for a task, and what all tasks send through. It takes one of the stack's sockets.
    pub fn start(
        &'static mut self,
        stack: Stack<'static>,
        options: &'static Options<'static>,
    ) -> (EmbassyClient<RX, TX>, Sender<'static>) {
        let (client, sender) = Client::new(&mut self.resources, options);
        let [rx, tx] = &mut self.tcp;
        (EmbassyClient { client, connector: EmbassyConnector::new(stack, rx, tx, None) }, sender)
    }
}

impl<const RX: usize, const TX: usize, const QUEUE: usize, const TCP: usize> Default
    for EmbassyClientMemory<RX, TX, QUEUE, TCP>
{
    fn default() -> Self {
        Self::new()
    }
}

/// A client with its socket.
#[derive(Debug)]
pub struct EmbassyClient<const RX: usize, const TX: usize> {
    client: Client<'static, 'static, RX, TX>,
    connector: EmbassyConnector<'static>,
}

impl<const RX: usize, const TX: usize> EmbassyClient<RX, TX> {
    /// As [`Client::run`].
    ///
    /// # Cancel safety
    /// As there.
    pub fn run<K: MaskKeys>(
        &mut self,
        keys: &mut K,
        handler: &dyn ClientHandler,
    ) -> impl Future<Output = Finished> {
        self.client.run(&mut self.connector, &EmbassyClock, keys, handler)
    }

    /// As [`Client::run_with`].
    ///
    /// # Cancel safety
    /// As there.
    pub fn run_with<K: MaskKeys, O: Outcome>(
        &mut self,
        keys: &mut K,
        handler: &dyn ClientHandler,
        function: impl AsyncFn(WebSocket<'_>) -> O,
    ) -> impl Future<Output = Finished> {
        self.client.run_with(&mut self.connector, &EmbassyClock, keys, handler, function)
    }
}

/// Declares functions that start a server or a client on embassy, with their memory, in statics, and their tasks. The crate that
/// uses it depends on `embassy-executor`.
///
/// ```
/// use wirelet_embedded::client::Options;
/// use wirelet_embedded::server::{Route, Settings, WebSocketRoute};
/// use wirelet_embedded::proto::{Config, handshake::Uri};
/// use wirelet_embedded::{Csprng, Error, WebSocket};
///
/// static SETTINGS: Settings<'static> =
///     Settings::new(&[Route::websocket("/ws", &WebSocketRoute::pull(&Config::new()))]);
///
/// wirelet_embedded::embassy! {
///     /// Starts the server: four connections with 8,048 bytes and some 500 more each.
///     fn serve = server { connections: 4, rx: 2048, tx: 2048, queue: 512, tcp: 1720, function: echo };
///     /// Starts the client.
///     fn connect = client { rx: 1024, tx: 1024, queue: 512, tcp: 1460, keys: Csprng<Trng>, function: hello };
/// }
///
/// async fn echo(mut ws: WebSocket<'_>) -> Result<(), Error> {
///     let mut buffer = [0; 512];
///     while let Some(message) = ws.recv(&mut buffer).await? {
///         ws.send(message).await?;
///     }
///     Ok(())
/// }
///
/// async fn hello(mut ws: WebSocket<'_>) -> Result<(), Error> {
///     ws.send("hello").await
/// }
///
/// fn start(spawner: embassy_executor::Spawner, stack: embassy_net::Stack<'static>, trng: Trng) {
///     // A server, and what all tasks send through to its WebSockets.
///     let handle = serve(spawner, stack, 80, &SETTINGS).expect("started once");
///     // A client that connects again and again, and what all tasks send through to its server.
///     let uri = Uri::parse("ws://server.example/ws").expect("a URI");
///     let sender = connect(spawner, stack, Options::new(uri), Csprng(trng)).expect("started once");
/// }
/// # struct Trng; // esp-hal's, say
/// # impl rand_core::TryRng for Trng {
/// #     type Error = core::convert::Infallible;
/// #     fn try_next_u32(&mut self) -> Result<u32, Self::Error> { Ok(4) }
/// #     fn try_next_u64(&mut self) -> Result<u64, Self::Error> { Ok(4) }
/// #     fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> { bytes.fill(4); Ok(()) }
/// # }
/// # impl rand_core::TryCryptoRng for Trng {}
/// ```
///
/// | field | what it is |
/// |---|---|
/// | `connections` | workers, each with a task and one of the stack's sockets: `StackResources` needs so many besides those of DHCP and DNS |
/// | `rx`, `tx`, `queue` | as in [`Resources`](crate::Resources), bytes for each connection |
/// | `tcp` | the buffers of each socket, bytes each way |
/// | `keys` | the type of the client's source of masking keys |
/// | `handler` | may be left out: a `&'static` [`ClientHandler`](crate::client::ClientHandler) |
/// | `function` | may be left out, where all WebSockets have a [`Handler`](crate::Handler): the async function that has them |
///
/// The server's function takes a spawner, the stack, a port and `&'static` [`Settings`](crate::server::Settings), and returns the
/// [`Handle`](crate::Handle); the client's takes [`Options`](crate::client::Options) and the source of keys, and returns the
/// [`Sender`](crate::Sender). Both fail with `SpawnError::Busy` when they are called again. Who needs more, such as memory for compression or
/// a context, writes with [`EmbassyServer`] or `Resources` what the macro would.
#[macro_export]
macro_rules! embassy {
    () => {};
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident = server {
            connections: $connections:expr, rx: $rx:expr, tx: $tx:expr, queue: $queue:expr, tcp: $tcp:expr
            $(, function: $function:path)? $(,)?
        };
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        $vis fn $name(
            spawner: ::embassy_executor::Spawner,
            stack: $crate::for_macros::Stack<'static>,
            port: u16,
            settings: &'static $crate::server::Settings<'static>,
        ) -> ::core::result::Result<$crate::Handle<'static>, ::embassy_executor::SpawnError> {
            type Memory = $crate::EmbassyServer<{ $connections }, { $rx }, { $tx }, { $queue }, { $tcp }>;
            static MEMORY: $crate::for_macros::ConstStaticCell<Memory> =
                $crate::for_macros::ConstStaticCell::new(Memory::new());

            #[::embassy_executor::task(pool_size = $connections)]
            async fn work(mut worker: $crate::EmbassyWorker<{ $rx }, { $tx }>) {
                $crate::embassy!(@run worker $(, $function)?).await;
            }

            let memory = MEMORY.try_take().ok_or(::embassy_executor::SpawnError::Busy)?;
            let (workers, handle) = memory.start(stack, port, settings);
            for worker in workers {
                spawner.spawn(work(worker)?);
            }
            Ok(handle)
        }
        $crate::embassy! { $($rest)* }
    };
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident = client {
            rx: $rx:expr, tx: $tx:expr, queue: $queue:expr, tcp: $tcp:expr, keys: $keys:ty
            $(, handler: $handler:expr)? $(, function: $function:path)? $(,)?
        };
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        $vis fn $name(
            spawner: ::embassy_executor::Spawner,
            stack: $crate::for_macros::Stack<'static>,
            options: $crate::client::Options<'static>,
            keys: $keys,
        ) -> ::core::result::Result<$crate::Sender<'static>, ::embassy_executor::SpawnError> {
            type Memory = $crate::EmbassyClientMemory<{ $rx }, { $tx }, { $queue }, { $tcp }>;
            static MEMORY: $crate::for_macros::ConstStaticCell<Memory> =
                $crate::for_macros::ConstStaticCell::new(Memory::new());
            static OPTIONS: $crate::for_macros::StaticCell<$crate::client::Options<'static>> =
                $crate::for_macros::StaticCell::new();

            #[::embassy_executor::task]
            async fn work(mut client: $crate::EmbassyClient<{ $rx }, { $tx }>, mut keys: $keys) {
                let handler: &dyn $crate::client::ClientHandler = $crate::embassy!(@handler $($handler)?);
                let _ = $crate::embassy!(@connect client, &mut keys, handler $(, $function)?).await;
            }

            let busy = ::embassy_executor::SpawnError::Busy;
            let memory = MEMORY.try_take().ok_or(busy)?;
            let options = OPTIONS.try_init(options).ok_or(busy)?;
            let (client, sender) = memory.start(stack, options);
            spawner.spawn(work(client, keys)?);
            Ok(sender)
        }
        $crate::embassy! { $($rest)* }
    };
    (@run $worker:ident) => { $worker.run() };
    (@run $worker:ident, $function:path) => { $worker.run_with($function) };
    (@handler) => { &() };
    (@handler $handler:expr) => { $handler };
    (@connect $client:ident, $keys:expr, $handler:ident) => { $client.run($keys, $handler) };
    (@connect $client:ident, $keys:expr, $handler:ident, $function:path) => {
        $client.run_with($keys, $handler, $function)
    };
}
