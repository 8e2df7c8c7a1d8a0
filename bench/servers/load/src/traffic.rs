//! One measurement of a server: traffic of some pattern, for some time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::options::Options;
use crate::peers::{Opening, Peers};
use crate::process::cpu_seconds;
use crate::watch::{Histogram, Watch};
use crate::wire::Sample;

/// A server that answers nothing for so long has failed.
const HANG: Duration = Duration::from_secs(5);

/// When who sends.
pub(crate) trait Pattern {
    /// Whether every message is a broadcast: then no echo can be compared.
    const TO_ALL: bool = false;

    /// Sends the first messages.
    fn begin(&mut self, peers: &mut Peers) -> Result<(), Failure>;

    /// So many messages have come to a connection.
    fn came(
        &mut self,
        peers: &mut Peers,
        peer: usize,
        count: usize,
        now: Instant,
        times: &mut Histogram,
    ) -> Result<(), Failure>;

    /// Whatever was ready has been read.
    fn turn(&mut self, _peers: &mut Peers, _now: Instant) -> Result<(), Failure> {
        Ok(())
    }
}

/// What is counted from the end of the warming up.
struct Counts {
    began: Instant,
    messages: u64,
    server: f64,
    load: f64,
}

impl Counts {
    fn begin(options: &Options, now: Instant) -> Result<Self, Failure> {
        let (server, load) = (cpu_seconds(options.pid)?, cpu_seconds(std::process::id())?);
        Ok(Self { began: now, messages: 0, server, load })
    }
}

/// Opens the connections, warms up, measures.
pub(crate) fn drive<P: Pattern>(options: &Options, mut pattern: P) -> Result<Value, Failure> {
    let sample = if options.deflate { Sample::compressed()? } else { Sample::binary(options.size) };
    let opening = Opening { raw: options.raw, deflate: options.deflate, echoes: !P::TO_ALL };
    let mut peers = Peers::open(options.port, options.connections, options.in_flight, &sample, opening)?;
    let (mut ready, mut times, mut watch) = (Vec::new(), Histogram::new(), Watch::new());
    let warm = Instant::now() + options.warm_up;
    let (mut counts, mut heard) = (None::<Counts>, watch.tick());
    pattern.begin(&mut peers)?;
    loop {
        peers.poll(options.waits, &mut ready)?;
        let now = watch.tick();
        match &counts {
            None if now >= warm => {
                counts = Some(Counts::begin(options, now)?);
                times.clear();
                watch.reset();
            }
            Some(counts) if now >= counts.began + options.seconds => break,
            _ if now > heard + HANG => {
                return Err(Failure(format!("no message for {} s", HANG.as_secs())));
            }
            _ => {}
        }
        for &ready in &ready {
            let ended = peers.serve(ready)?;
            let now = watch.tick();
            if ended > 0 {
                heard = now;
                counts.iter_mut().for_each(|counts| counts.messages += ended as u64);
                pattern.came(&mut peers, ready.peer, ended, now, &mut times)?;
            }
        }
        pattern.turn(&mut peers, now)?;
    }
    let counts = counts.filter(|counts| counts.messages > 0);
    let counts = counts.ok_or_else(|| Failure("not one message in the time of measuring".into()))?;
    report(options, &counts, &times, &watch, &peers)
}

fn report(
    options: &Options,
    counts: &Counts,
    times: &Histogram,
    watch: &Watch,
    peers: &Peers,
) -> Result<Value, Failure> {
    let seconds = counts.began.elapsed().as_secs_f64();
    let frozen = if options.waits { None } else { Some(watch.frozen().as_secs_f64()) };
    Ok(json!({
        "messages": counts.messages,
        "seconds": seconds,
        "frozen_seconds": frozen,
        "server_cpu_seconds": cpu_seconds(options.pid)? - counts.server,
        "load_cpu_seconds": cpu_seconds(std::process::id())? - counts.load,
        "p50_us": times.quantile(0.5),
        "p99_us": times.quantile(0.99),
        "p999_us": times.quantile(0.999),
        "longest_us": times.quantile(1.0),
        "answer_bytes": peers.answer_bytes,
        "extensions": peers.extensions,
    }))
}
