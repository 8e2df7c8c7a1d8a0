//! Our encoder over random and structured messages: each comes back through zlib-rs, miniz_oxide and our own
//! decompressor, or the program ends with a panic that says which message did not.
//!
//! ```sh
//! cargo run --release -p testkit --example deflate -- 1000000
//! ```
//!
//! `bench/deflate/run.py` gives Python's zlib the same: with `--pipe` every message goes to standard output, as a byte of
//! window bits (and 128 for the first of a stream, 64 for context takeover), the lengths of message and payload, 4 bytes each,
//! little-endian, and both. With `telemetry` instead of a number the messages are those that compression is measured on.

use std::io::{BufWriter, Write};

use testkit::deflate::{Messages, References, compress, decompress, deflater};
use testkit::random::Rng;
use testkit::telemetry::{Device, KINDS};
use wirelet_deflate::{Deflater, Inflater};
use wirelet_proto::Flush;
use wirelet_proto::deflate::Window;

/// Messages in a stream.
const STREAM: u64 = 50;

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut out = args.contains(&"--pipe".into()).then(|| BufWriter::new(std::io::stdout().lock()));
    if args.first().is_some_and(|what| what == "telemetry") {
        return telemetry(&mut out);
    }
    let wanted: u64 = args.first().and_then(|number| number.parse().ok()).unwrap_or(10_000);
    let (mut seed, mut left, mut plain, mut compressed) = (0, wanted, 0, 0);
    while left > 0 {
        let window = Window { bits: 8 + (seed % 5) as u8, takeover: seed % 3 > 0 };
        let mut stream = Stream::new(window, seed);
        let mut messages = Messages::new(seed);
        for _ in 0..left.min(STREAM) {
            let message = messages.message();
            let payload = stream.check(&message);
            plain += message.len();
            compressed += payload.len();
            emit(&mut out, &mut stream.begun, window, &message, &payload)?;
        }
        left -= left.min(STREAM);
        seed += 1;
    }
    eprintln!(
        "{wanted} messages in {seed} streams: {plain} bytes became {compressed}, and came back through zlib-rs, \
         miniz_oxide and our own decompressor"
    );
    Ok(())
}

fn telemetry(out: &mut Option<impl Write>) -> std::io::Result<()> {
    for (bits, kind) in (9..=12).flat_map(|bits| KINDS.map(|kind| (bits, kind))) {
        for size in [200, 400, 1024, 2048, 3072] {
            let window = Window::kept(bits);
            let mut stream = Stream::new(window, 0);
            let mut device = Device::new(kind, size, 7);
            for _ in 0..200 {
                let message = device.message().into_bytes();
                let payload = stream.check(&message);
                emit(out, &mut stream.begun, window, &message, &payload)?;
            }
        }
    }
    Ok(())
}

/// One connection: its encoder and all that read it.
struct Stream {
    seed: u64,
    rng: Rng,
    deflater: Deflater<Vec<u8>>,
    references: References,
    inflater: Inflater<Vec<u8>>,
    begun: bool,
}

impl Stream {
    fn new(window: Window, seed: u64) -> Self {
        Self {
            seed,
            rng: Rng::new(seed),
            deflater: deflater(window),
            references: References::new(window),
            inflater: Inflater::new(vec![0; 1 << window.bits], window).expect("a window of this size"),
            begun: false,
        }
    }

    /// The payload of `message`, made and read in pieces of any size.
    fn check(&mut self, message: &[u8]) -> Vec<u8> {
        let mut size = || 1 + self.rng.below(2000);
        let (inputs, outputs) = ([size(), size(), size()], [size(), size()]);
        let payload = compress(&mut self.deflater, message, Flush::Message, &inputs, &outputs);
        assert_eq!(self.references.check(&payload, message), Ok(()), "stream {}: {message:?}", self.seed);
        let back = decompress(&mut self.inflater, &payload, &inputs, &outputs);
        assert!(back.is_ok_and(|back| back == message), "our own, stream {}: {message:?}", self.seed);
        payload
    }
}

fn emit(
    out: &mut Option<impl Write>,
    begun: &mut bool,
    window: Window,
    message: &[u8],
    payload: &[u8],
) -> std::io::Result<()> {
    let Some(out) = out else { return Ok(()) };
    let flags = if *begun { 0 } else { 128 } | if window.takeover { 64 } else { 0 };
    *begun = true;
    out.write_all(&[window.bits | flags])?;
    out.write_all(&(message.len() as u32).to_le_bytes())?;
    out.write_all(&(payload.len() as u32).to_le_bytes())?;
    out.write_all(message)?;
    out.write_all(payload)
}
