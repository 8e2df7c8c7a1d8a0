//! The load: echoes of compressed 1 KiB JSON over several connections, counted at the frames' headers.
//!
//! `load ADDRESS PATH SETTING CONNECTIONS IN_FLIGHT SECONDS [PID]` prints one line of JSON. SETTING says what is
//! offered: `plain` nothing, `browser` what browsers offer, `reset` no context takeover in either direction, `takeover` the
//! extension without parameters. With the server's PID its CPU time is measured too.
//!
//! Everything that is sent has been compressed and masked before. The loop polls without a pause, so that it needs a
//! core of its own; time in which no answer came for [`FREEZE`] is counted apart, with the answers that then were there at once: one of
//! the two cores stood still, as those of virtual machines do.

mod connection;
mod traffic;

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use connection::{Connection, Tally};
use traffic::Setting;

/// Not measured: connecting, first allocations, a compiler that works while it runs.
const WARM_UP: Duration = Duration::from_millis(500);
/// No server needs so long for a message.
const FREEZE: Duration = Duration::from_millis(2);
/// Nothing came for so long: a hang.
const HANG: Duration = Duration::from_secs(60);

type Failure = Box<dyn Error>;

struct Arguments {
    address: SocketAddr,
    path: String,
    setting: Setting,
    connections: usize,
    in_flight: usize,
    time: Duration,
    pid: Option<u32>,
}

/// What was measured between two moments.
struct Measurement {
    tally: Tally,
    time: Duration,
    frozen: Duration,
    frozen_answers: u64,
    cpu: Option<Duration>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let arguments = arguments()?;
    let mut traffic = None;
    let mut connections = (0..arguments.connections)
        .map(|_| Connection::open(arguments.address, &arguments.path, arguments.setting, &mut traffic))
        .collect::<Result<Vec<_>, _>>()?;
    for connection in &mut connections {
        connection.send(arguments.in_flight)?;
    }
    drive(&mut connections, WARM_UP, None)?;
    let measurement = drive(&mut connections, arguments.time, arguments.pid)?;
    let mut checked = 0;
    for connection in &mut connections {
        checked += connection.finish()?;
    }
    report(&arguments, &connections, &measurement, checked);
    Ok(())
}

fn arguments() -> Result<Arguments, Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, setting, connections, in_flight, seconds, rest @ ..] = &words[..] else {
        return Err(
            "usage: load ADDRESS PATH plain|browser|reset|takeover CONNECTIONS IN_FLIGHT SECONDS [PID]"
                .into(),
        );
    };
    let arguments = Arguments {
        address: address.parse()?,
        path: path.clone(),
        setting: setting.parse()?,
        connections: connections.parse()?,
        in_flight: in_flight.parse()?,
        time: Duration::from_secs_f64(seconds.parse()?),
        pid: rest.first().map(|pid| pid.parse()).transpose()?,
    };
    if arguments.connections == 0 || arguments.in_flight == 0 {
        return Err("at least one connection, and one message in flight".into());
    }
    Ok(arguments)
}

/// Answers each answer with the next message for that long.
fn drive(connections: &mut [Connection], time: Duration, pid: Option<u32>) -> Result<Measurement, Failure> {
    let before: Tally = connections.iter().map(Connection::tally).sum();
    let cpu_before = pid.map(cpu_time).transpose()?;
    let start = Instant::now();
    let (mut last, mut frozen, mut frozen_answers) = (start, Duration::ZERO, 0);
    let end = loop {
        let mut answers = 0;
        for connection in connections.iter_mut() {
            let received = connection.receive()?;
            connection.send(received)?;
            answers += received;
        }
        let now = Instant::now();
        let gap = now - last;
        if answers > 0 {
            if gap > FREEZE {
                frozen += gap;
                frozen_answers += answers as u64;
            }
            last = now;
        } else if gap > HANG {
            return Err("the server does not answer any more".into());
        }
        if now - start >= time {
            break now;
        }
    };
    let cpu_after = pid.map(cpu_time).transpose()?;
    let after: Tally = connections.iter().map(Connection::tally).sum();
    let cpu = cpu_after.zip(cpu_before).map(|(after, before)| after - before);
    Ok(Measurement { tally: after - before, time: end - start, frozen, frozen_answers, cpu })
}

/// The time on a CPU of all threads of a process.
fn cpu_time(pid: u32) -> Result<Duration, Failure> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended meanwhile.
        let Ok(statistics) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        let on_cpu: u64 = statistics.split(' ').next().unwrap_or_default().parse()?;
        nanoseconds += on_cpu;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Resident memory of a process, KiB.
fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn report(arguments: &Arguments, connections: &[Connection], measurement: &Measurement, checked: usize) {
    let Measurement { tally, time, frozen, frozen_answers, cpu } = measurement;
    let extension = connections.first().map_or("", Connection::extension);
    let cpu = cpu.map_or("null".to_owned(), |cpu| cpu.as_secs_f64().to_string());
    let resident =
        arguments.pid.and_then(resident).map_or("null".to_owned(), |kibibytes| kibibytes.to_string());
    println!(
        "{{\"messages\": {}, \"seconds\": {}, \"frozen_seconds\": {}, \"frozen_messages\": {frozen_answers}, \"cpu_seconds\": {cpu}, \"plain_bytes\": {}, \
         \"answer_bytes\": {}, \"uncompressed\": {}, \"checked\": {checked}, \"resident_kib\": {resident}, \
         \"extension\": {extension:?}}}",
        tally.answers,
        time.as_secs_f64(),
        frozen.as_secs_f64(),
        tally.answers * traffic::LENGTH as u64,
        tally.bytes,
        tally.uncompressed,
    );
}
