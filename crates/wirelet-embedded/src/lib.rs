//! # wirelet-embedded
//!
//! An HTTP and WebSocket server and a WebSocket client for microcontrollers: `no_std`, async, without allocation. All memory
//! is the caller's and its size is known at compile time; all waits have a limit, and what tasks send never holds up what a peer
//! says ([`Resources`] has the sizes). The protocol is
//! [`wirelet_proto`]'s, the same state machine that the tokio driver uses.
//!
//! ```text
//!  tasks ──▶ Handle::send, broadcast, close              async fn(WebSocket), or
//!                │ (a queue for each connection)         Handler::on_open, on_event, on_close
//!                ▼                                            ▲
//!           Worker 0 ◀──▶ socket 0        one worker, one socket, one writer
//!           Worker 1 ◀──▶ socket 1        accept → HTTP/1.1 → routes → WebSocket → accept …
//!           …
//! ```
//!
//! ## A server
//!
//! ```
//! use wirelet_embedded::proto::Config;
//! use wirelet_embedded::server::{Route, Settings, WebSocketRoute};
//! use wirelet_embedded::{EmbassyClock, EmbassyListener, Error, Resources, Server, WebSocket};
//!
//! static CONFIG: Config = Config::new();
//! static ECHO: WebSocketRoute<'static> = WebSocketRoute::pull(&CONFIG);
//! static ROUTES: [Route<'static>; 1] = [Route::websocket("/ws", &ECHO)];
//! static SETTINGS: Settings<'static> = Settings::new(&ROUTES);
//!
//! async fn echo(mut ws: WebSocket<'_>) -> Result<(), Error> {
//!     let mut buffer = [0; 512];
//!     while let Some(message) = ws.recv(&mut buffer).await? {
//!         ws.send(message).await?; // or wait for a sensor first: the connection goes on
//!     }
//!     Ok(())
//! }
//!
//! async fn serve(stack: embassy_net::Stack<'_>) {
//!     let mut resources = Resources::<1, 1024, 1024, 256>::new(); // for several tasks: a `StaticCell`
//!     let (server, handle) = Server::new(&mut resources, &SETTINGS);
//!     let [mut worker] = server.into_workers(); // a task for each
//!     let (mut rx, mut tx) = ([0; 1460], [0; 1460]);
//!     let mut listener = EmbassyListener::new(stack, 80, &mut rx, &mut tx, None);
//!     handle.broadcast("a line for everybody", |_| true); // from any task, at any time
//!     worker.run_with(&mut listener, &EmbassyClock, echo).await;
//! }
//! ```
//!
//! ## A client
//!
//! ```
//! use wirelet_embedded::client::{Client, ClientResources, Options};
//! use wirelet_embedded::proto::{MaskKeys, handshake::Uri};
//! use wirelet_embedded::{EmbassyClock, EmbassyConnector, Error, WebSocket};
//!
//! async fn talk(mut ws: WebSocket<'_>) -> Result<(), Error> {
//!     ws.send("hello").await?;
//!     let mut buffer = [0; 512];
//!     while let Some(message) = ws.recv(&mut buffer).await? {
//!         // …
//!     }
//!     Ok(())
//! }
//!
//! async fn connect(stack: embassy_net::Stack<'_>, keys: &mut impl MaskKeys) {
//!     let Ok(uri) = Uri::parse("ws://server.example/ws") else { return };
//!     let options = Options::new(uri);
//!     let mut resources = ClientResources::<1024, 1024, 256>::new();
//!     let (mut client, sender) = Client::new(&mut resources, &options); // `sender` is for other tasks
//!     let (mut rx, mut tx) = ([0; 1460], [0; 1460]);
//!     let mut connector = EmbassyConnector::new(stack, &mut rx, &mut tx, None);
//!     client.run_with(&mut connector, &EmbassyClock, keys, &(), talk).await; // connects again and again
//! }
//! ```
//!
//! ## On embassy
//!
//! The macro `embassy!` declares the memory of a server or a client, in statics, with their tasks. Then a server is this, besides the
//! `async fn` above:
//!
//! ```
//! # use wirelet_embedded::{Error, WebSocket};
//! # use wirelet_embedded::{proto::Config, server::{Route, Settings, WebSocketRoute}};
//! # async fn echo(ws: WebSocket<'_>) -> Result<(), Error> { Ok(()) }
//! static SETTINGS: Settings<'static> =
//!     Settings::new(&[Route::websocket("/ws", &WebSocketRoute::pull(&Config::new()))]);
//!
//! wirelet_embedded::embassy! {
//!     fn serve = server { connections: 4, rx: 2048, tx: 2048, queue: 512, tcp: 1460, function: echo };
//! }
//!
//! # fn start(spawner: embassy_executor::Spawner, stack: embassy_net::Stack<'static>) {
//! let handle = serve(spawner, stack, 80, &SETTINGS).expect("started once");
//! # }
//! ```
//!
//! `examples/embedded/` in the repository has a server and a client for each of six boards.
//!
//! ## Over which network
//!
//! | sockets | feature | types |
//! |---|---|---|
//! | embassy-net's | `embassy-net` | `EmbassyListener`, `EmbassyConnector` |
//! | those of any stack with `edge-nal`'s traits | `edge-nal` | `EdgeListener`, `EdgeConnector` |
//! | the standard library's | `std` | `StdListener`, `StdConnector` |
//! | a reader and a writer of `embedded-io-async`, split by value | | [`Pair`] with [`net::from_fn`] |
//! | any other | | [`net::Socket`], [`net::Listen`], [`net::Connect`] |
//!
//! ## Two ways to write a handler
//!
//! | | `async fn(WebSocket)` | [`Handler`] |
//! |---|---|---|
//! | given to | [`Worker::run_with`](server::Worker::run_with), [`Client::run_with`](client::Client::run_with) | [`WebSocketRoute::new`](server::WebSocketRoute::new), [`Client::run`](client::Client::run) |
//! | receives | when it calls [`recv`](WebSocket::recv), into a buffer of its own | when something has arrived, in place |
//! | sends | waits for room | there is room for an answer as large as what has arrived |
//! | state of a connection | variables of the function | fields with locks or cells, for all its connections |
//! | waits for a sensor, flash, another task | by `.await` | can't: another task does, and answers through a [`Handle`] |
//! | takes, besides the connection | the function's future with its buffer, as a part of the worker's | nothing |
//!
//! Both run in the worker's task, and a server may have routes of both kinds. With callbacks alone nothing of the other way is linked.
//!
//! ```
//! use core::fmt::Write as _;
//! use wirelet_embedded::http::{File, Methods, Request, Response};
//! use wirelet_embedded::proto::{Config, Delivery, Event};
//! use wirelet_embedded::server::{Route, WebSocketRoute};
//! use wirelet_embedded::{Handler, Peer};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
//!         // Chunk by chunk: a message of a megabyte passes through 4 KiB.
//!         if let Event::Chunk(chunk) = event {
//!             let _ = peer.send_fragment(chunk.kind, chunk.data, chunk.last);
//!         }
//!     }
//! }
//!
//! fn status(_: &Request<'_>, response: &mut Response<'_>) {
//!     let _ = write!(response, r#"{{"uptime":{}}}"#, 17);
//! }
//!
//! static CONFIG: Config = Config { delivery: Delivery::Chunks, ..Config::new() };
//! static ECHO: WebSocketRoute<'static> = WebSocketRoute::new(&Echo, &CONFIG);
//! static ROUTES: [Route<'static>; 3] = [
//!     Route::file("/", File::new(b"<h1>It works</h1>", "text/html")),
//!     Route::call("/status", Methods::GET, &status),
//!     Route::websocket("/ws", &ECHO),
//! ];
//! ```
//!
//! `boards/` in the repository has the application of a whole device, for Linux, for an emulated RISC-V board and for Espressif's
//! chips.
//!
//! ## Who connects, and what was refused
//!
//! - An [`Upgrade`](server::Upgrade) sees the request for a WebSocket: path parameters, query, cookies, headers, the peer's address. It
//!   chooses the subprotocol, adds headers to the 101, refuses with a status and body of its own, and hands a value to the handler:
//!   a user, say. The value lives as long as its WebSocket, in memory of the caller's
//!   ([`Server::with_context`]).
//! - Routes have names ([`Route::named`](server::Route::named), by default their path): [`WebSocket::route`],
//!   [`ConnectionInfo::route`].
//! - [`Counters`] count connections, refusals by their reason, dropped messages and bytes: [`Settings::counters`](server::Settings::counters)
//!   and [`Handle::counts`].
//! - The features `log` and `defmt` bring a line for each refusal with its reason, for WebSockets that open and end, and for a client's
//!   attempts that fail.
//!
//! ## For those who know ESP-IDF
//!
//! | `esp_http_server` | here |
//! |---|---|
//! | `task_priority`, `stack_size`, `core_id`, `task_caps` | the executor's that runs the workers: one task for each, no stack of its own |
//! | `server_port`, `if_name` | the endpoint of `EmbassyListener::new`, the [`Listen`](net::Listen) that is given |
//! | `ctrl_port` | none: other tasks reach a worker through memory |
//! | `open_fn`, `close_fn` | [`Listen`](net::Listen) sees sockets come and go; [`Handler::on_open`], [`Handler::on_close`] WebSockets |
//! | `global_user_ctx`, `global_transport_ctx` | fields of the [`Handler`]s and of the [`Listen`](net::Listen) |
//! | `max_open_sockets` | `CONNECTIONS` of [`Resources`] and a listener for each; [`Settings::spare`](server::Settings::spare) of them are kept from WebSockets |
//! | `max_req_hdr_len`, `max_uri_len` | `RX` of [`Resources`], [`Settings::headers`](server::Settings::headers): 414 and 431 beyond |
//! | `recv_wait_timeout` | [`Settings::request_time`](server::Settings::request_time), [`Settings::keep_alive_time`](server::Settings::keep_alive_time) |
//! | `send_wait_timeout` | for responses [`Settings::stalled_time`](server::Settings::stalled_time) and [`slowest`](server::Settings::slowest), for WebSockets the same of [`Limits`](wirelet_proto::Limits); only that peer is given up |
//! | `lru_purge_enable` | always: who has waited longest for a request makes way for a newcomer, a WebSocket never |
//! | `enable_so_linger`, `linger_timeout` | [`Settings::linger_time`](server::Settings::linger_time), [`Limits::closing_time`](wirelet_proto::Limits::closing_time) |
//! | `keep_alive_enable` | `keep_alive` of `EmbassyListener::new`, given up after four probes; on WebSockets `Config::keepalive`, on by default |
//! | `backlog` | smoltcp has none: as many listeners as workers |
//! | `uri_match_fn` | exact, a trailing `*`, `{name}` for a part of the path |
//! | `max_uri_handlers`, `max_resp_headers` | no limit; 192 bytes of a response's own headers |
//! | `httpd_register_err_handler` | refusals carry their status and reason as text; [`WebSocketRoute::upgrade`](server::WebSocketRoute::upgrade) makes its own |
//! | `ws_pre_handshake_cb`, `ws_post_handshake_cb` | [`Upgrade`](server::Upgrade), which also answers; [`Handler::on_open`] |
//! | `supported_subprotocol` | [`WebSocketRoute::subprotocols`](server::WebSocketRoute::subprotocols), several |
//! | `handle_ws_control_frames` | always delivered, always answered by the core |
//! | `httpd_ws_recv_frame`, `_part` | [`WebSocket::recv`], [`recv_event`](WebSocket::recv_event), or [`Handler::on_event`]: whole messages or chunks with length and offset |
//! | `httpd_ws_send_frame` | [`WebSocket::send`], [`WebSocket::text_fragments`], [`Peer::send`], [`Peer::send_fragment`] |
//! | `httpd_queue_work` with `httpd_ws_send_frame_async`, `httpd_ws_send_data` | [`Handle::try_send`], [`Handle::send`] (it waits), [`Handle::fragments`] |
//! | `httpd_get_client_list`, `httpd_ws_get_fd_info` | [`Handle::connections`] |
//! | `httpd_sess_trigger_close` | [`Handle::close`] |
//! | `httpd_stop`, `httpd_start` | [`Handle::stop`], and [`Worker::run`](server::Worker::run) again |
//! | `httpd_sess_set_send_override`, `_recv_`, `_pending_` | the [`Socket`](net::Socket) |
//! | `httpd_sess_set_ctx` | [`Server::with_context`]; variables of the async function |
//! | `httpd_query_key_value`, `httpd_req_get_cookie_val` | [`http::Request::parameter`], [`http::Request::cookie`], also in an [`Upgrade`](server::Upgrade) |
//! | `httpd_req_recv`, `httpd_resp_send_chunk`, `httpd_req_async_handler_begin` | [`http::Exchange`], on routes of [`Route::pull`](server::Route::pull) |
//! | `httpd_req_to_sockfd` with `getpeername` | [`http::Request::peer`] |
//!
//! | `esp_websocket_client` | here |
//! |---|---|
//! | `uri`, `host`, `port`, `path` | [`Options::uri`](client::Options::uri) |
//! | `set_uri` | [`Sender::set_uri`] with room in [`Options::server`](client::Options::server) |
//! | `username`, `password` | [`Options::credentials`](client::Options::credentials), or in the URI |
//! | `set_headers`, `append_header`, `BEFORE_CONNECT` | [`Prepare`](client::Prepare): URI, headers and token before each attempt |
//! | `subprotocol`, `user_agent`, `headers` | [`Options`](client::Options), and the answer is checked |
//! | `buffer_size` | `RX`, `TX`, `QUEUE` of [`ClientResources`] |
//! | `ping_interval_sec`, `pingpong_timeout_sec`, `disable_pingpong_discon` | `Config::keepalive` |
//! | `reconnect_timeout_ms`, `disable_auto_reconnect`, `enable_close_reconnect` | [`Options::reconnect`](client::Options::reconnect) or [`delay`](client::Options::delay), `connect_after_loss`, `connect_after_close` |
//! | `set_reconnect_timeout`, `set_ping_interval_sec` | [`Sender::set_reconnect_delay`], [`Sender::set_ping_interval`] |
//! | `network_timeout_ms` | [`Options::connect_time`](client::Options::connect_time); `stalled_time` and `slowest` of [`Options::config`](client::Options::config) |
//! | redirects | [`Options::redirects`](client::Options::redirects), none by default, never with credentials to another host |
//! | `keep_alive_enable`, `if_name`, `ext_transport` | the [`Connect`](net::Connect) that is given |
//! | `send_text`, `send_bin`, `is_connected`, `close`, `stop` | [`Sender`]; `start` is [`Client::run`], as often as you like |
//! | `send_text_partial`, `send_cont_msg`, `send_fin` | [`Sender::fragments`] from any task, [`WebSocket::text_fragments`] and [`Peer::send_fragment`] in a handler |
//! | `send_with_opcode` (ping), `close_with_code` | [`Sender::ping`], [`Sender::close`] with [`Sender::closed`] |
//! | `cert_pem`, `skip_cert_common_name_check`, `use_global_ca_store` | `tls::client_config`: always checked, roots given |
//! | events | [`Handler`] and [`ClientHandler`](client::ClientHandler) |
//!
//! `docs/esp_http_server.md` and `docs/esp_websocket_client.md` in the repository have every field, function and event, with the test of each.
//!
//! ## Features
//!
//! | feature | adds |
//! |---|---|
//! | `embassy-time` | `EmbassyClock` |
//! | `embassy-net` | `EmbassyListener`, `EmbassyConnector`, and the macro `embassy!` |
//! | `ipv6` | IPv6 for those of `embassy-net` |
//! | `edge-nal` | `EdgeListener`, `EdgeConnector` |
//! | `std` | `StdListener`, `StdConnector`, `StdClock` |
//! | `deflate` | [`compression`]: permessage-deflate (RFC 7692) in memory of the caller's |
//! | `defmt` | lines for the log, and `defmt::Format` on the small types |
//! | `log` | the same lines for the crate `log` |
//! | `rand_core` | `Csprng`: masking keys and nonces of any `rand_core::CryptoRng` |
//! | `tls` | `tls::Connector`: `wss` for the client. Needs an allocator, and a chip with compare-and-swap |
//!
//! ## TLS
//!
//! The feature `tls` brings `wss` for the client: TLS 1.3 by rustls, with a full check of certificates, over any
//! [`Connect`](net::Connect). What it needs, what it costs, which chips it fits and why it is made so stands in the
//! module `tls`. Without it, and in every `Connect` that does no TLS, a [`Remote`](net::Remote) that needs it is refused, never
//! connected to in the clear.
//!
//! There is no TLS for the server: it would put a private key on every device, and a record buffer of 16 KiB in each connection's
//! memory. rustls could do it with the same buffers; what is missing is a way to bring keys onto a device, to keep them from whoever
//! holds it, and to renew their certificates, and that is not this crate's. A gateway that ends TLS in the same
//! network serves all devices at once.

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::large_futures)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(feature = "tls")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod client;
pub mod compression;
mod context;
mod counters;
#[cfg(feature = "edge-nal")]
mod edge;
#[cfg(feature = "embassy-net")]
mod embassy;
mod events;
mod fragments;
mod handle;
mod handler;
pub mod http;
#[cfg(feature = "rand_core")]
mod keys;
pub mod net;
mod outgoing;
mod pair;
mod progress;
mod queue;
pub mod server;
mod session;
#[cfg(feature = "std")]
mod sockets;
mod table;
mod talk;
mod time;
#[cfg(feature = "tls")]
pub mod tls;
mod wait;
mod websocket;

pub use client::{Client, ClientResources, Sender};
pub use counters::{Counters, Counts, Refusals};
#[cfg(feature = "edge-nal")]
pub use edge::{EdgeConnector, EdgeListener, EdgeSocket};
#[cfg(feature = "embassy-net")]
pub use embassy::{
    EmbassyClient, EmbassyClientMemory, EmbassyConnector, EmbassyListener, EmbassyServer, EmbassySocket,
    EmbassyWorker,
};
pub use fragments::Fragments;
pub use handle::{Broadcast, Handle};
pub use handler::{Cause, End, Handler, Peer};
#[cfg(feature = "rand_core")]
pub use keys::Csprng;
pub use pair::{Pair, PairReader, PairWriter};
pub use server::{Resources, Server};
#[cfg(feature = "std")]
pub use sockets::{StdClock, StdConnector, StdHalf, StdListener, StdSocket};
pub use table::{ConnectionId, ConnectionInfo, Message, Overflow, Phase, SendError, SendReason};
pub use time::Clock;
#[cfg(feature = "embassy-time")]
pub use time::EmbassyClock;
pub use websocket::{BinaryFragments, Error, ReceiveHalf, SendHalf, TextFragments, WebSocket};
pub use wirelet_proto as proto;
pub use wirelet_proto::Outcome;

/// What [`embassy!`] needs of other crates.
#[cfg(feature = "embassy-net")]
#[doc(hidden)]
pub mod for_macros {
    pub use embassy_net::Stack;
    pub use static_cell::{ConstStaticCell, StaticCell};
}

#[cfg(test)]
mod tests;

/// The guides: what stands in them compiles.
#[cfg(doctest)]
mod guides {
    #[cfg(feature = "tls")]
    #[doc = include_str!("../../../docs/certificates.md")]
    struct Certificates;
    #[doc = include_str!("../../../docs/from-picoserve-and-edge-ws.md")]
    struct FromPicoserveAndEdgeWs;
    #[doc = include_str!("../../../docs/getting-started-chip.md")]
    struct GettingStarted;
    #[doc = include_str!("../../../docs/getting-started-chip.zh.md")]
    struct GettingStartedInChinese;
}
