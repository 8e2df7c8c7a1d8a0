//! Connections that say nothing: the memory of a server for each, and what opening them costs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::failure::{Context, Failure};
use crate::options::Options;
use crate::peers::connect;
use crate::process::{cpu_seconds, resident_bytes};
use crate::wire::{Sample, read_answer, request};

/// Connections that are opened and closed before anything is counted, for what is allocated once.
const WARMING: usize = 50;

/// Handshakes that are on their way at a time.
const BATCH: usize = 64;

/// After this much time a server has done what it does behind an answer.
const SETTLES: Duration = Duration::from_millis(500);

/// Echoes that are put on idle connections, one after the other: payload, bytes.
const SMALL: usize = 512;
const LARGE: usize = 64 << 10;

/// As many connections have the large echo.
const LARGE_ECHOES: usize = 1000;

/// Opens all connections and looks at the server's memory; with `--echoes` again after one small echo on each, and after a
/// large one on a thousand of them.
pub(crate) fn measure(options: &Options) -> Result<Value, Failure> {
    let mut opened = open(options, 0, WARMING)?;
    opened.clear();
    sleep(SETTLES);
    let (began, cpu, before) = (Instant::now(), cpu_seconds(options.pid)?, resident_bytes(options.pid)?);
    for from in (0..options.connections).step_by(BATCH) {
        opened.extend(open(options, from, BATCH.min(options.connections - from))?);
    }
    let seconds = began.elapsed().as_secs_f64();
    sleep(SETTLES);
    let cpu = cpu_seconds(options.pid)? - cpu;
    let open = resident_bytes(options.pid)?;
    let mut measured = json!({
        "connections": opened.len(),
        "seconds": seconds,
        "server_cpu_seconds": cpu,
        "base_bytes": before,
        "idle_bytes_each": each(before, open, opened.len()),
    });
    if options.echoes {
        let small = echo(options, &mut opened, SMALL)?;
        let count = LARGE_ECHOES.min(opened.len());
        let large = echo(options, &mut opened[..count], LARGE)?;
        measured["after_512_bytes_each"] = each(before, small, opened.len()).into();
        measured["more_after_64_kib_bytes_each"] = each(small, large, count).into();
    }
    Ok(measured)
}

fn each(before: u64, after: u64, count: usize) -> f64 {
    (after as f64 - before as f64) / count as f64
}

/// Opens so many at a time. A raw server echoes a byte in place of the handshake.
fn open(options: &Options, from: usize, count: usize) -> Result<Vec<TcpStream>, Failure> {
    let question = if options.raw { b"x".to_vec() } else { request(options.port, false) };
    let ask = |number| {
        let mut stream = connect(options.port, number)?;
        stream.write_all(&question).context("handshake")?;
        Ok(stream)
    };
    let mut streams = (from..from + count).map(ask).collect::<Result<Vec<_>, Failure>>()?;
    for stream in &mut streams {
        if options.raw {
            stream.read_exact(&mut [0]).context("first echo")?;
        } else {
            read_answer(stream)?;
        }
    }
    Ok(streams)
}

/// One echo on each of these; returns the server's memory after it.
fn echo(options: &Options, streams: &mut [TcpStream], size: usize) -> Result<u64, Failure> {
    let sample = Sample::binary(size);
    for stream in streams {
        sample.check(stream, options.raw)?;
    }
    sleep(SETTLES);
    resident_bytes(options.pid)
}
