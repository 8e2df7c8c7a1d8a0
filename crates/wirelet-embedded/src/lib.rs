//! # wirelet-embedded
//!
//! An HTTP and WebSocket server and a WebSocket client for microcontrollers: `no_std`, async, without allocation. All memory
//! is the caller's and its size is known at compile time; all waits have a limit. The protocol is
//! [`wirelet_proto`]'s, the same state machine that the tokio driver uses.
//!
//! ```text
//!  tasks ──▶ Handle::try_send, broadcast, close          Handler::on_open, on_event, on_close
//!                │ (a queue for each connection)              ▲
//!                ▼                                            │
//!           Worker 0 ◀──▶ socket 0        one worker, one socket, one writer
//!           Worker 1 ◀──▶ socket 1        accept → HTTP/1.1 → routes → WebSocket → accept …
//!           …
//! ```
//!
//! ## A server
//!
//! ```
//! use core::fmt::Write as _;
//! use wirelet_embedded::http::{File, Methods, Request, Response};
//! use wirelet_embedded::server::{Route, Settings, WebSocketRoute};
//! use wirelet_embedded::{Clock, Handler, Peer, Resources, Server, net::Listen};
//! use wirelet_embedded::proto::{Config, Delivery, Event};
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
//! static SETTINGS: Settings<'static> = Settings::new(&ROUTES);
//!
//! # async fn join(_: impl Future) {}
//! async fn serve(mut listener: impl Listen, clock: impl Clock) {
//!     let mut resources = Resources::<1, 4096, 4352, 1024>::new(); // on a device: a `StaticCell`
//!     let (server, handle) = Server::new(&mut resources, &SETTINGS);
//!     let [mut worker] = server.into_workers(); // on a device: a task for each
//!     handle.broadcast("a line for everybody", |_| true); // from any task, at any time
//!     worker.run(&mut listener, &clock).await;
//! }
//! ```
//!
//! `boards/` in the repository has the application of a whole device, for Linux and for an emulated RISC-V board.
//!
//! ## For those who know ESP-IDF
//!
//! | `esp_http_server` | here |
//! |---|---|
//! | `max_open_sockets` | `CONNECTIONS` of [`Resources`] and a listener for each; [`Settings::spare`](server::Settings::spare) of them are kept from WebSockets |
//! | `max_req_hdr_len`, `max_uri_len` | `RX` of [`Resources`], [`Settings::headers`](server::Settings::headers): 414 and 431 beyond |
//! | `recv_wait_timeout` | [`Settings::request_time`](server::Settings::request_time), [`Settings::keep_alive_time`](server::Settings::keep_alive_time) |
//! | `send_wait_timeout` | [`Settings::send_time`](server::Settings::send_time): for a peer that takes nothing at all; only that peer is given up |
//! | `lru_purge_enable` | always: who has waited longest for a request makes way for a newcomer, a WebSocket never |
//! | `enable_so_linger`, `linger_timeout` | [`Settings::linger_time`](server::Settings::linger_time), `Limits::closing_time` |
//! | `keep_alive_enable` | `keep_alive` of `EmbassyListener::new`; on WebSockets `Config::keepalive`, on by default |
//! | `backlog` | smoltcp has none: as many listeners as workers |
//! | `uri_match_fn` | exact, or a trailing `*` |
//! | `max_uri_handlers`, `max_resp_headers` | no limit; 192 bytes of a response's own headers |
//! | `httpd_register_err_handler` | refusals carry their status and reason as text; [`WebSocketRoute::upgrade`](server::WebSocketRoute::upgrade) makes its own |
//! | `ws_pre_handshake_cb`, `ws_post_handshake_cb` | [`WebSocketRoute::upgrade`](server::WebSocketRoute::upgrade), [`Handler::on_open`] |
//! | `supported_subprotocol` | [`WebSocketRoute::subprotocols`](server::WebSocketRoute::subprotocols), several |
//! | `handle_ws_control_frames` | always delivered, always answered by the core |
//! | `httpd_ws_recv_frame`, `_part` | [`Handler::on_event`]: whole messages or chunks with length and offset |
//! | `httpd_ws_send_frame` | [`Peer::send`], [`Peer::send_fragment`] |
//! | `httpd_queue_work` with `httpd_ws_send_frame_async`, `httpd_ws_send_data` | [`Handle::try_send`], [`Handle::fragments`] |
//! | `httpd_get_client_list`, `httpd_ws_get_fd_info` | [`Handle::connections`] |
//! | `httpd_sess_trigger_close`, `httpd_stop` | [`Handle::close`], [`Handle::stop`] |
//! | `httpd_sess_set_ctx` | a table of the application's by [`ConnectionId::index`] |
//! | `httpd_query_key_value`, `httpd_req_get_cookie_val` | [`http::Request::parameter`], [`http::Request::cookie`] |
//!
//! | `esp_websocket_client` | here |
//! |---|---|
//! | `uri`, `host`, `port`, `path` | [`Options::uri`](client::Options::uri) |
//! | `username`, `password` | [`Options::credentials`](client::Options::credentials) |
//! | `subprotocol`, `user_agent`, `headers` | [`Options`](client::Options), and the answer is checked |
//! | `buffer_size` | `RX`, `TX`, `QUEUE` of [`ClientResources`] |
//! | `ping_interval_sec`, `pingpong_timeout_sec`, `disable_pingpong_discon` | `Config::keepalive` |
//! | `reconnect_timeout_ms`, `disable_auto_reconnect`, `enable_close_reconnect` | [`Options::reconnect`](client::Options::reconnect), `connect_after_loss`, `connect_after_close` |
//! | `network_timeout_ms` | [`Options::connect_time`](client::Options::connect_time), [`Options::send_time`](client::Options::send_time) |
//! | redirects | [`Options::redirects`](client::Options::redirects), none by default, never with credentials to another host |
//! | `keep_alive_enable`, `if_name`, `ext_transport` | the [`Connect`](net::Connect) that is given |
//! | `send_text`, `send_bin`, `is_connected`, `close`, `stop` | [`Sender`] |
//! | `send_text_partial`, `send_cont_msg`, `send_fin` | [`Sender::fragments`] from any task, [`Peer::send_fragment`] in a handler |
//! | events | [`Handler`] and [`ClientHandler`](client::ClientHandler) |
//!
//! ## Features
//!
//! | feature | adds |
//! |---|---|
//! | `embassy-time` | `EmbassyClock` |
//! | `embassy-net` | `EmbassyListener`, `EmbassyConnector` |
//! | `defmt` | `defmt::Format` on the small types |
//!
//! ## TLS
//!
//! There is none in this crate: a [`Connect`](net::Connect) may bring it, and a [`Remote`](net::Remote) that needs it is
//! refused by those that don't, never connected to in the clear. What follows is about embedded-tls
//! 0.19.0, which is `no_std` and fits these traits; a newer version is worth another look.
//!
//! - Its own check of certificates (`rustpki`) looks at signatures, dates and names, but not at the basic constraints that say
//!   who may issue (RFC 5280 4.2.1.9), nor at key usage: whoever holds any certificate of the same authority can issue one for
//!   every host. RSA, which most public authorities sign with, needs an allocator there; names are at most 64 bytes.
//! - Its other check (`webpki`) is rustls-webpki 0.101 on ring, so C and a C compiler for the chip; it passes on no intermediate
//!   certificates, which public servers have.
//! - A server can stop the device: a public key of the wrong length meets an `unwrap` in the check of signatures
//!   (Ed25519, RSA), and a handshake message after the handshake other than a ticket meets `unimplemented!`. A key update (RFC 8446 4.6.3),
//!   which any server may send, ends the connection.
//! - Reading and writing are not cancel safe: a read that is dropped loses the bytes of the record's header that it has taken.
//!   The loop of this crate needs both ([`net::Socket`]); records would have to be gathered in a second buffer.
//!
//! What TLS costs in any case: a record buffer of 16,640 bytes for a server that was not told to send shorter records, a second
//! of a few KiB to send from, and the handshake's stack, besides `RX`, `TX` and `QUEUE`. That fits chips with some hundred KiB (the
//! ESP32-C3 has 400), and not one with 32. A chip whose vendor brings TLS (mbedTLS in ESP-IDF, for one) is best served by a
//! [`Connect`](net::Connect) around that; a gateway that ends TLS in the same network serves all others. A server's TLS is a
//! private key on every device; embedded-tls has no server side.

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::large_futures)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(test)]
extern crate std;

pub mod client;
#[cfg(feature = "embassy-net")]
mod embassy;
mod fragments;
mod handle;
mod handler;
pub mod http;
pub mod net;
mod outgoing;
mod queue;
pub mod server;
mod session;
mod table;
mod time;

pub use client::{Client, ClientResources, Sender};
#[cfg(feature = "embassy-net")]
pub use embassy::{EmbassyConnector, EmbassyListener, EmbassySocket};
pub use fragments::Fragments;
pub use handle::{Broadcast, Handle};
pub use handler::{Cause, End, Handler, Peer};
pub use server::{Resources, Server};
pub use table::{ConnectionId, ConnectionInfo, Message, Overflow, Phase, SendError, SendReason};
pub use time::Clock;
#[cfg(feature = "embassy-time")]
pub use time::EmbassyClock;
pub use wirelet_proto as proto;

#[cfg(test)]
mod tests;
