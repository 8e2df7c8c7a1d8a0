//! permessage-deflate's encoder and decompressor, each alone: what comes over the serial port goes back through it.

use wirelet_deflate::{Deflater, Inflater};
use wirelet_proto::deflate::Window;
use wirelet_proto::{Codec, Compressor, Flush};

use crate::serial::{read_now, write_now};

/// Both with a window of 512 bytes.
const BITS: u8 = 9;

/// Memory of the encoder.
pub type EncoderMemory = [u8; Deflater::memory(BITS)];

/// Sends back what arrives, compressed; a line is a message.
pub fn compress(memory: &mut EncoderMemory) {
    let Some(mut deflater) = Deflater::new(memory, Window::kept(BITS)) else { return };
    let (mut arrived, mut room) = ([0; 256], [0; 256]);
    loop {
        let n = read_now(&mut arrived);
        let mut input = arrived.get(..n).unwrap_or_default();
        let flush = if input.ends_with(b"\n") { Flush::Message } else { Flush::None };
        loop {
            let progress = deflater.compress(input, &mut room, flush);
            write_now(room.get(..progress.produced).unwrap_or_default());
            input = input.get(progress.consumed..).unwrap_or_default();
            if progress.done {
                break;
            }
        }
    }
}

/// Sends back what arrives, decompressed; a message ends with a zero.
pub fn decompress(window: &mut [u8; 1 << BITS]) {
    let Some(mut inflater) = Inflater::new(window, Window::kept(BITS)) else { return };
    let (mut arrived, mut room) = ([0; 256], [0; 256]);
    loop {
        let n = read_now(&mut arrived);
        let mut input = arrived.get(..n).unwrap_or_default();
        let last = input.ends_with(&[0]);
        while let Ok(progress) = inflater.decompress(input, &mut room, last) {
            write_now(room.get(..progress.produced).unwrap_or_default());
            input = input.get(progress.consumed..).unwrap_or_default();
            if progress.done {
                break;
            }
        }
    }
}
