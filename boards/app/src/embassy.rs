//! The server on boards with embassy's executor and network stack: its memory, its tasks, and how they are started.

use embassy_executor::{SpawnError, Spawner};
use embassy_net::Stack;
use static_cell::StaticCell;
use wirelet_embedded::server::{Route, Settings, WebSocketRoute, Worker};
use wirelet_embedded::{EmbassyClock, EmbassyListener, Handle, Resources, Server, WebSocket};

use crate::{Application, Board, Guest, QUEUE, ROUTES, RX, TX};

/// Connections that a board may have at most: so many tasks are set aside.
pub const MOST: usize = 8;
/// The buffers of a TCP socket, each way: two segments.
pub const TCP: usize = 2920;

/// The buffers of a TCP socket.
pub type TcpBuffers = [[u8; TCP]; 2];

/// The memory of a server with so many connections, [`MOST`] of them at most: for a `ConstStaticCell`.
pub struct ServerMemory<const CONNECTIONS: usize> {
    resources: Resources<'static, CONNECTIONS, RX, TX, QUEUE>,
    guests: [Option<Guest>; CONNECTIONS],
    tcp: [TcpBuffers; CONNECTIONS],
}

impl<const CONNECTIONS: usize> ServerMemory<CONNECTIONS> {
    /// Memory that nobody uses yet.
    pub const fn new() -> Self {
        const { assert!(CONNECTIONS <= MOST, "there are no tasks for so many") };
        Self { resources: Resources::new(), guests: [None; CONNECTIONS], tcp: [[[0; TCP]; 2]; CONNECTIONS] }
    }
}

impl<const CONNECTIONS: usize> Default for ServerMemory<CONNECTIONS> {
    fn default() -> Self {
        Self::new()
    }
}

/// Starts the tasks of the server on port 80; to be called once. It serves as soon as there is an address.
///
/// # Errors
/// It was called twice: there is one application and one task for each connection.
pub fn start_server<const CONNECTIONS: usize>(
    spawner: Spawner,
    stack: Stack<'static>,
    board: &'static dyn Board,
    memory: &'static mut ServerMemory<CONNECTIONS>,
) -> Result<(), SpawnError> {
    static APPLICATION: StaticCell<Application<'static>> = StaticCell::new();
    static WEBSOCKETS: StaticCell<[WebSocketRoute<'static>; 2]> = StaticCell::new();
    static TABLE: StaticCell<[Route<'static>; ROUTES]> = StaticCell::new();
    static SETTINGS: StaticCell<Settings<'static>> = StaticCell::new();

    let application = APPLICATION.try_init(Application::new(board)).ok_or(SpawnError::Busy)?;
    let application: &'static Application<'static> = application;
    let table = TABLE.init(application.routes(WEBSOCKETS.init(application.websockets())));
    let settings = SETTINGS.init(Application::settings(table));
    let (server, handle) = Server::new(&mut memory.resources, settings);
    let server = server.with_context(&mut memory.guests);
    #[cfg(feature = "deflate")]
    let server = server.with_compression(compression());
    application.attach(handle);
    let mut future = 0;
    for (mut worker, [rx, tx]) in server.into_workers().into_iter().zip(&mut memory.tcp) {
        let mut listener = EmbassyListener::new(stack, 80, rx, tx, None);
        let serve = async |ws: WebSocket<'_>| application.serve(ws).await;
        future = size_of_val(&worker.run_with(&mut listener, &EmbassyClock, serve));
        spawner.spawn(work(application, worker, listener)?);
    }
    spawner.spawn(answers(application, handle)?);
    spawner.spawn(telemetry(application, handle)?);
    let state = size_of::<Resources<'_, 1, RX, TX, QUEUE>>() - RX - TX - QUEUE;
    board.log(format_args!(
        "a connection: {state} bytes besides its buffers, a worker's future: {future} bytes"
    ));
    Ok(())
}

/// Memory for compressed connections; to be called once.
#[cfg(feature = "deflate")]
fn compression() -> wirelet_embedded::compression::Compression<'static> {
    static LANES: StaticCell<crate::Lanes<{ crate::LANES }>> = StaticCell::new();
    LANES.init_with(crate::Lanes::new).compression()
}

#[embassy_executor::task(pool_size = MOST)]
async fn work(
    application: &'static Application<'static>,
    mut worker: Worker<'static, 'static, RX, TX>,
    mut listener: EmbassyListener<'static>,
) {
    let serve = async |ws: WebSocket<'_>| application.serve(ws).await;
    worker.run_with(&mut listener, &EmbassyClock, serve).await;
}

#[embassy_executor::task]
async fn answers(application: &'static Application<'static>, handle: Handle<'static>) {
    application.run_answers(handle).await;
}

#[embassy_executor::task]
async fn telemetry(application: &'static Application<'static>, handle: Handle<'static>) {
    application.run_telemetry(handle, &EmbassyClock).await;
}
