//! `wirelet serve`: the echo application, the browser console and `/status` on one port.

mod console;
mod echo;
mod events;
mod listen;
mod routes;
mod status;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use wirelet::server::ServerHandle;
use wirelet::{Config, Keepalive, Limits};

use crate::arguments;
use crate::exit::{Exit, Failure};
use crate::log::{Level, Log, WhenFull};
use crate::signals::Signals;
use listen::Place;
use status::Counters;

/// What all connections share.
pub(crate) struct Application {
    pub(crate) counters: Counters,
    pub(crate) log: Log,
}

const TAG: &str = "serve";
/// How long connections have to end when the server stops.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until a signal asks to stop.
///
/// # Errors
/// The server cannot listen, or not serve.
pub(crate) fn run(arguments: arguments::Serve) -> Result<Exit, Failure> {
    // With threads of their own for connections this one only waits for them.
    let runtime =
        if arguments.threads.is_some() { Builder::new_current_thread() } else { Builder::new_multi_thread() }
            .enable_all()
            .build()
            .map_err(|error| {
                Failure::new(Exit::Unexpected, format!("the runtime does not start: {error}"))
            })?;
    // A terminal that is held must not hold the connections.
    let log = Log::start(Level::from_flags(arguments.log.verbose, arguments.log.quiet), WhenFull::Drop);
    events::show_on(&log);
    let outcome = runtime.block_on(serve(&arguments, &log));
    log.finish();
    runtime.shutdown_background();
    outcome
}

async fn serve(arguments: &arguments::Serve, log: &Log) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()
        .map_err(|error| Failure::new(Exit::Unexpected, format!("signals cannot be caught: {error}")))?;
    let (server, place) = listen::listen(arguments).await?;
    let mut server = server
        .config(config(arguments))
        .capacity((&arguments.capacity).into())
        .compression(arguments.compress)
        .grace(GRACE);
    if !arguments.allow_host.is_empty() {
        server = server.hosts(&arguments.allow_host);
    }
    let application = Arc::new(Application { counters: Counters::new(), log: log.clone() });
    let handle = server.handle();
    let router = routes::router(&application, arguments);
    let mut serving = pin!(async {
        match arguments.threads {
            None => server.serve(router).await,
            Some(threads) => server.serve_per_core(threads, router).await,
        }
    });
    announce(arguments, &place, log);

    let signal = tokio::select! {
        served = &mut serving => return ended(served),
        signal = signals.next() => signal,
    };
    stopping(&handle, signal, log);
    handle.stop();
    tokio::select! {
        served = &mut serving => {
            log.write(Level::Info, TAG, format_args!("stopped"));
            ended(served)
        }
        signal = signals.next() => {
            log.write(Level::Warning, TAG, format_args!("{signal} again: not waiting any longer"));
            Ok(Exit::Interrupted)
        }
    }
}

fn config(arguments: &arguments::Serve) -> Config {
    let keepalive = arguments.ping.0.map_or(Keepalive::off(), Keepalive::every);
    let limits = Limits { message: arguments.max_message, head_bytes: arguments.max_head, ..Limits::new() };
    Config { limits, keepalive, ..Config::new() }
}

fn ended(served: std::io::Result<()>) -> Result<Exit, Failure> {
    match served {
        Ok(()) => Ok(Exit::Success),
        Err(error) => Err(Failure::new(Exit::Unexpected, format!("cannot serve: {error}"))
            .help("look at --path and --threads")),
    }
}

fn stopping(handle: &ServerHandle, signal: &str, log: &Log) {
    let grace = GRACE.as_secs();
    let what = match handle.count() {
        0 => String::new(),
        1 => format!("; one connection is closed with 1001 and has {grace} s; {signal} again ends at once"),
        open => format!(
            "; {open} connections are closed with 1001 and have {grace} s; {signal} again ends at once"
        ),
    };
    log.write(Level::Info, TAG, format_args!("{signal}: stopping{what}"));
}

/// Tells where the server listens, and how to stop it.
fn announce(arguments: &arguments::Serve, place: &Place, log: &Log) {
    let version = env!("CARGO_PKG_VERSION");
    match place {
        Place::Address(local) => announce_address(arguments, *local, log),
        Place::Elsewhere(place) => log.plain(format_args!("wirelet {version} listens on {place}")),
    }
    log.plain(format_args!("Ctrl-C stops it."));
}

fn announce_address(arguments: &arguments::Serve, local: SocketAddr, log: &Log) {
    let host = SocketAddr::new(reachable(local.ip()), local.port());
    log.plain(format_args!("wirelet {} listens on {local}", env!("CARGO_PKG_VERSION")));
    if !arguments.no_console {
        log.plain(format_args!("  console    http://{host}/"));
    }
    log.plain(format_args!("  WebSocket  ws://{host}{}", arguments.path));
    log.plain(format_args!("  status     http://{host}/status"));
    if local.ip().is_unspecified() {
        log.plain(format_args!("Other devices use this machine's address in the place of {}.", host.ip()));
    }
}

/// An address that a browser on this machine can open.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}
