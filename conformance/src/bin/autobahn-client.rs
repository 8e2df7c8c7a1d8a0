//! The client under test for Autobahn's fuzzing server: `autobahn-client MODE URL AGENT [FIRST..LAST]`.
//!
//! MODE says how to compress: `off`, `shared`, `windowed:BYTES` or `dedicated:BITS`. It asks the server how many cases there are, runs them one after the other (or those with the numbers from FIRST to
//! LAST, both included), each of them an echo of whatever arrives, and has the server write its report. Whether a case
//! has passed is for the server to say; the exit status says whether they all ran.

use std::error::Error;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::Duration;

use conformance::compression;
use wirelet::{Client, Compression, Keepalive, Limits, WebSocket};

/// Some cases of section 9 last minutes on a slow machine, and the server has bounds of its own.
const PATIENCE: Duration = Duration::from_secs(300);
/// The largest message of section 9 is 16 MiB.
const LARGEST: u64 = 64 << 20;

type Failure = Box<dyn Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("autobahn-client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mode, server, agent, wanted) = match &arguments[..] {
        [mode, server, agent] => (mode, server, agent, None),
        [mode, server, agent, range] => (mode, server, agent, Some(parse_range(range)?)),
        _ => return Err("usage: autobahn-client MODE URL AGENT [FIRST..LAST]".into()),
    };
    let (server, mode) = (server.trim_end_matches('/'), compression(mode)?);
    let count = case_count(server).await?;
    let cases = wanted.unwrap_or(1..=count);
    if *cases.start() == 0 || *cases.end() > count {
        return Err(format!("the server has the cases 1 to {count}").into());
    }
    for case in cases {
        println!("case {case} of {count}");
        let websocket = open(&format!("{server}/runCase?case={case}&agent={agent}"), mode).await?;
        // What the server does to the connection is its part of the test.
        if let Err(error) = echo(websocket).await {
            println!("  {error}");
        }
    }
    let mut websocket = open(&format!("{server}/updateReports?agent={agent}"), Compression::off()).await?;
    while websocket.recv().await?.is_some() {}
    println!("done");
    Ok(())
}

fn parse_range(text: &str) -> Result<RangeInclusive<u32>, Failure> {
    let (first, last) = text.split_once("..").ok_or("a range of cases is written FIRST..LAST")?;
    Ok(first.parse()?..=last.parse()?)
}

async fn case_count(server: &str) -> Result<u32, Failure> {
    let mut websocket = open(&format!("{server}/getCaseCount"), Compression::off()).await?;
    let message = websocket.recv().await?.ok_or("the server did not say how many cases it has")?;
    let count = message.as_text().ok_or("the number of cases is not text")?.parse()?;
    while websocket.recv().await?.is_some() {}
    Ok(count)
}

async fn open(url: &str, mode: Compression) -> Result<WebSocket, Failure> {
    let limits =
        Limits { message: LARGEST, message_time: Some(PATIENCE), closing_time: PATIENCE, ..Limits::new() };
    let (websocket, _) = Client::builder(url)
        .limits(limits)
        // Pings of its own would disturb the cases.
        .keepalive(Keepalive::off())
        .compression(mode)
        .connect_timeout(PATIENCE)
        .handshake_timeout(PATIENCE)
        .connect_once()
        .await
        .map_err(|error| format!("{url}: {error}"))?;
    Ok(websocket)
}

/// Sends back what arrives until the connection ends.
async fn echo(mut websocket: WebSocket) -> Result<(), wirelet::Error> {
    while let Some(message) = websocket.recv().await? {
        // When it fails, receiving says why.
        let _ = websocket.send(message).await;
    }
    Ok(())
}
