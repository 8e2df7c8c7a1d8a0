//! A server on a thread of its own, whose memory is counted.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use wirelet::server::{Context, Page, Router, Server, ServerHandle, ws};
use wirelet::{Error, WebSocket};

use super::memory::Zone;
use super::peer::Peer;
use super::{BLOCK, CONNECTION, eventually};

/// A serving server. What it allocates, and nothing else, is in `zone`.
pub struct Site {
    pub address: SocketAddr,
    pub handle: ServerHandle,
    pub zone: &'static Zone,
    thread: Option<JoinHandle<()>>,
}

/// Echoes until the end. It lets go of the context at once, which would be memory of the handler's own.
#[allow(clippy::manual_async_fn)] // an `async fn` would keep the context
pub fn echo(mut ws: WebSocket, _: Context) -> impl Future<Output = Result<(), Error>> + Send {
    async move {
        while let Some(message) = ws.recv().await? {
            ws.send(message).await?;
        }
        Ok(())
    }
}

/// Sends each message to all connections.
pub async fn tell(mut ws: WebSocket, context: Context) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        context.server().broadcast(message);
    }
    Ok(())
}

/// An echo at `/ws`, broadcasts at `/tell`, a page at `/`, and at `/pool` how many blocks the server's thread holds.
pub fn routes() -> Router {
    let blocks = || {
        let pool = wirelet::diagnostics::pool();
        format!("{}", pool.lent + pool.free as isize + pool.pinned as isize)
    };
    let page = Page::html("<p>hello");
    Router::new().ws("/ws", ws(echo)).ws("/tell", ws(tell)).page("/", page).json("/pool", blocks)
}

impl Site {
    /// Serves [`routes`].
    pub fn echo(change: impl FnOnce(Server) -> Server + Send + 'static) -> Self {
        Self::start(routes, change)
    }

    /// Serves what `routes` answers.
    pub fn start(
        routes: impl FnOnce() -> Router + Send + 'static,
        change: impl FnOnce(Server) -> Server + Send + 'static,
    ) -> Self {
        let zone = Zone::leaked();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            zone.enter();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = change(Server::bind("127.0.0.1:0").await.unwrap());
                tell.send((server.local_addr().unwrap(), server.handle())).unwrap();
                server.grace(std::time::Duration::ZERO).serve(routes()).await.unwrap();
            });
        });
        let (address, handle) = told.recv().unwrap();
        Self { address, handle, zone, thread: Some(thread) }
    }

    /// A connection whose handshake has not begun.
    pub fn connect(&self) -> Peer {
        Peer::connect(self.address)
    }

    /// A connection to the echo.
    pub fn open(&self) -> Peer {
        Peer::open(self.address, "/ws")
    }

    /// Live bytes, without the blocks of the pool.
    pub fn live_without_blocks(&self) -> isize {
        let mut asking = self.connect();
        asking.send(b"GET /pool HTTP/1.1\r\nHost: x\r\n\r\n");
        let blocks: isize = asking.response().2.parse().unwrap();
        let live = self.zone.live();
        live - blocks * BLOCK as isize
    }

    /// Waits until `n` WebSocket connections are left.
    pub fn wait_for_count(&self, n: usize) {
        eventually("the number of connections", || self.handle.count() == n);
    }

    /// Since `start`, the memory that was live when the measurement began, at most `most` bytes more were live at once.
    #[track_caller]
    pub fn assert_peak(&self, start: isize, most: usize) {
        let grown = self.zone.peak() - start;
        println!("at most {grown} bytes more, of {most}; the largest allocation {}", self.zone.largest());
        assert!(grown <= most as isize, "{grown} bytes more than before; the limits allow {most}");
    }

    /// No allocation was larger than a block, whatever the peer announced or sent.
    #[track_caller]
    pub fn assert_largest_is_a_block(&self) {
        assert!(self.zone.largest() <= BLOCK, "{} bytes in one piece", self.zone.largest());
    }

    /// After an attack by one peer at a time: what [`CONNECTION`] and [`WORKING`](super::WORKING) say.
    #[track_caller]
    pub fn assert_small(&self, start: isize) {
        self.assert_peak(start, super::WORKING + 4 * CONNECTION);
        self.assert_largest_is_a_block();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server's thread panicked");
        }
    }
}
