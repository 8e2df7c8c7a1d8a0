//! `wirelet serve`: the echo application, the browser console and `/status` on one port.

mod console;
mod echo;
mod pages;
mod status;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::arguments;
use crate::exit::{Exit, Failure};
use crate::log::{Level, Log, WhenFull};
use crate::signals::Signals;
use status::Counters;

/// What all connections share.
pub(crate) struct Application {
    pub(crate) counters: Counters,
    pub(crate) log: Log,
    /// The path of the WebSocket endpoint.
    path: String,
    /// Whether the console is served.
    console: bool,
}

const TAG: &str = "serve";

/// Tells where the server listens, and how to stop it.
fn announce(application: &Application, local: SocketAddr) {
    let host = SocketAddr::new(reachable(local.ip()), local.port());
    let log = &application.log;
    log.plain(format_args!("wirelet {} listens on {local}", env!("CARGO_PKG_VERSION")));
    if application.console {
        log.plain(format_args!("  console    http://{host}/"));
    }
    log.plain(format_args!("  WebSocket  ws://{host}{}", application.path));
    log.plain(format_args!("  status     http://{host}/status"));
    log.plain(format_args!("Ctrl-C stops it."));
}

/// An address that a browser on this machine can open.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

fn cannot_listen(addr: SocketAddr, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind as Kind;
    let (what, help) = match error.kind() {
        Kind::AddrInUse => (
            "the address is in use by another program",
            "choose another port with --addr, such as --addr 127.0.0.1:8081; --addr 0 takes a free one",
        ),
        Kind::AddrNotAvailable => (
            "this machine does not have the address",
            "--addr takes an address of this machine; 0.0.0.0:8080 means all of them",
        ),
        Kind::PermissionDenied => (
            "it is not allowed",
            "ports below 1024 need privileges; choose another one with --addr, such as --addr 127.0.0.1:8080",
        ),
        _ => ("", "--addr sets where to listen"),
    };
    let colon = if what.is_empty() { "" } else { ": " };
    Failure::new(Exit::Unexpected, format!("cannot listen on {addr}{colon}{what}"))
        .layer("OS error", error.to_string())
        .help(help)
}
