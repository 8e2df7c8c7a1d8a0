//! Scenarios over a scripted network, on a clock that is a parameter.

mod cancel;
mod client;
#[cfg(feature = "deflate")]
mod compression;
mod day;
mod duplex;
mod fragments;
mod http;
mod limits;
mod operations;
mod scenarios;
mod support;
#[cfg(feature = "tls")]
mod tls;
mod websocket;
