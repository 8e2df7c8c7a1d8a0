//! The boards' application as a process, with the memory of a device: 8 connections, 4 KiB to receive into.
//!
//! ```sh
//! wirelet-linux [serve [ADDRESS]]     # 127.0.0.1:8080 by default
//! wirelet-linux demo URL [ROOTS]      # ws://127.0.0.1:5000/; for wss a file (PEM) of the authorities that are trusted
//! ```

use std::fmt::Arguments;
use std::process::ExitCode;
use std::rc::Rc;

use tokio::task::LocalSet;
use wirelet_app::demo::{self, DemoMemory};
use wirelet_app::{Application, Board, Guest, LANES, Lanes, Logger, QUEUE, RX, TX};
use wirelet_embedded::client::Finished;
use wirelet_embedded::net::Connect;
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::{Resources, Server, WebSocket, tls};
use wirelet_linux::net::{Dialer, Port};
use wirelet_linux::system::{SystemClock, SystemRandom, now};
use wirelet_linux::trust::authorities;

const CONNECTIONS: usize = 8;
/// What TLS sends from, besides `TX`: a record with a message of the demo.
const TLS_TX: usize = 1024;

struct Linux;

impl Board for Linux {
    fn name(&self) -> &'static str {
        "wirelet on Linux"
    }

    fn log(&self, line: Arguments<'_>) {
        println!("[{:>8} ms] {line}", self.uptime());
    }

    fn uptime(&self) -> u64 {
        now().as_millis()
    }

    fn free_memory(&self) -> Option<usize> {
        None
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    now();
    static LOGGER: Logger = Logger(&Linux);
    log::set_logger(&LOGGER).expect("set once");
    log::set_max_level(log::LevelFilter::Info);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match words[..] {
        [] | ["serve"] => LocalSet::new().block_on(&runtime, serve("127.0.0.1:8080")),
        ["serve", address] => LocalSet::new().block_on(&runtime, serve(address)),
        ["demo", url] => runtime.block_on(run_demo(url, &mut Dialer)),
        ["demo", url, roots] => runtime.block_on(run_secure_demo(url, roots)),
        _ => {
            eprintln!("usage: wirelet-linux [serve [ADDRESS] | demo URL [ROOTS]]");
            ExitCode::from(2)
        }
    }
}

/// Gives away memory for good, as a device does.
fn forever<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

async fn serve(address: &str) -> ExitCode {
    let listener = match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => Port(Rc::new(listener)),
        Err(error) => {
            eprintln!("{address}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let app: &'static Application<'static> = forever(Application::new(&Linux));
    let routes = forever(app.routes(forever(app.websockets())));
    let settings = forever(Application::settings(routes));
    let resources = Box::leak(Box::new(Resources::<CONNECTIONS, RX, TX, QUEUE>::new()));
    let (server, handle) = Server::new(resources, settings);
    let guests = Box::leak(Box::new([None::<Guest>; CONNECTIONS]));
    let server = server.with_context(guests).with_compression(forever(Lanes::<LANES>::new()).compression());
    app.attach(handle);
    tokio::task::spawn_local(app.run_answers(handle));
    tokio::task::spawn_local(app.run_telemetry(handle, &SystemClock));
    let bound = listener.0.local_addr().expect("a listener has an address");
    Linux.log(format_args!("console: http://{bound}/   echo: ws://{bound}/ws"));
    let workers: Vec<_> = server
        .into_workers()
        .into_iter()
        .map(|mut worker| {
            let mut port = listener.clone();
            tokio::task::spawn_local(async move {
                let serve = async |ws: WebSocket<'_>| app.serve(ws).await;
                worker.run_with(&mut port, &SystemClock, serve).await;
            })
        })
        .collect();
    for worker in workers {
        if worker.await.is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn run_secure_demo(url: &str, roots: &str) -> ExitCode {
    let config = match authorities(roots) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{roots}: {error}");
            return ExitCode::from(2);
        }
    };
    let mut memory = Box::new(tls::Memory::<{ tls::LONGEST_RECORD }, TLS_TX>::new());
    let report = |error: &tls::Error| Linux.log(format_args!("{error}"));
    let mut connector = tls::Connector::new(Dialer, &mut *memory, config, &report);
    run_demo(url, &mut connector).await
}

async fn run_demo(url: &str, network: &mut impl Connect) -> ExitCode {
    let uri = match Uri::parse(url) {
        Ok(uri) => uri,
        Err(error) => {
            eprintln!("{url}: {error}");
            return ExitCode::from(2);
        }
    };
    let options = demo::options(uri);
    let mut memory = Box::new(DemoMemory::new());
    let finished = demo::run(&Linux, &mut memory, &options, network, &SystemClock, &mut SystemRandom).await;
    Linux.log(format_args!("finished: {finished:?}"));
    if finished == Finished::Stopped { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
