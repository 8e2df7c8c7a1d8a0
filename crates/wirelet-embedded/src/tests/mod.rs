//! Scenarios over a scripted network, on a clock that is a parameter.

#![allow(clippy::large_futures, reason = "these are on a computer's stack")]

mod cancel;
mod client;
#[cfg(feature = "deflate")]
mod compression;
mod context;
mod day;
mod duplex;
mod exchange;
mod fragments;
mod http;
mod limits;
mod living;
mod operations;
mod pull;
mod scenarios;
mod support;
mod tasks;
#[cfg(feature = "tls")]
mod tls;
mod websocket;
