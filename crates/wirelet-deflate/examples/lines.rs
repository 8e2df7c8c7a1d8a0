//! The lines of the input as messages of one connection: compressed with context takeover, decompressed, compared.
//!
//! ```sh
//! cargo run --example lines < README.md
//! ```

use std::io;

use wirelet_deflate::{Codec, Compressor, Deflater, Flush, Inflater, Window};

/// 1 KiB, as a device may have.
const WINDOW: Window = Window::kept(10);

fn main() -> io::Result<()> {
    let mut deflater =
        Deflater::new([0; Deflater::memory(WINDOW.bits)], WINDOW).expect("as much memory as it should have");
    let mut inflater = Inflater::new([0; 1 << WINDOW.bits], WINDOW).expect("as large as the window");
    let (mut plain, mut wire) = (0, 0);
    for line in io::stdin().lines() {
        let line = line?;
        let payload = compressed(&mut deflater, line.as_bytes());
        assert_eq!(decompressed(&mut inflater, &payload), line.as_bytes());
        plain += line.len();
        wire += payload.len();
    }
    println!("{plain} bytes became {wire}");
    Ok(())
}

/// A message's payload, in pieces of whatever room there is.
fn compressed(deflater: &mut impl Compressor, message: &[u8]) -> Vec<u8> {
    let (mut payload, mut room, mut rest) = (Vec::new(), [0; 64], message);
    loop {
        let progress = deflater.compress(rest, &mut room, Flush::Message);
        payload.extend_from_slice(&room[..progress.produced]);
        rest = &rest[progress.consumed..];
        if progress.done {
            return payload;
        }
    }
}

/// The message again.
fn decompressed(inflater: &mut impl Codec, payload: &[u8]) -> Vec<u8> {
    let (mut message, mut room, mut rest) = (Vec::new(), [0; 64], payload);
    loop {
        let progress = inflater.decompress(rest, &mut room, true).expect("our own encoder's");
        message.extend_from_slice(&room[..progress.produced]);
        rest = &rest[progress.consumed..];
        if progress.done {
            return message;
        }
    }
}
