//! zlib-rs as a compressor with a context of its own.

use wirelet_proto::{Compressor, Flush, Progress};
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

/// A sync flush ends with `00 00 ff ff`, which is not sent (RFC 7692 7.2.1).
const TAIL: usize = 4;
/// What there has to be room for in each call, bytes: an empty block and the tail of the one before.
pub(super) const LEAST_ROOM: usize = 16;

/// A compressor whose window lives on from message to message: 137 to 380 KB.
pub(super) struct Deflater {
    deflate: Deflate,
    /// What was produced last of a message, kept until it is known not to be its tail.
    held: [u8; TAIL],
    held_len: usize,
}

impl Deflater {
    pub(super) fn new(bits: u8, level: u8, memory: u8) -> Self {
        let config = DeflateConfig {
            level: i32::from(level),
            window_bits: -i32::from(bits),
            mem_level: i32::from(memory),
            ..DeflateConfig::default()
        };
        Self { deflate: Deflate::new_with_config(config), held: [0; TAIL], held_len: 0 }
    }

    /// Forgets its window: what comes next refers to nothing.
    pub(super) fn reset(&mut self) {
        self.deflate.reset();
        self.held_len = 0;
    }
}

impl Compressor for Deflater {
    /// There has to be room for [`LEAST_ROOM`] bytes: with less zlib would begin one flush after the other.
    fn compress(&mut self, input: &[u8], output: &mut [u8], flush: Flush) -> Progress {
        let how = if flush == Flush::None { DeflateFlush::NoFlush } else { DeflateFlush::SyncFlush };
        let held = std::mem::take(&mut self.held_len).min(output.len());
        output[..held].copy_from_slice(&self.held[..held]);
        let (before_in, before_out) = (self.deflate.total_in(), self.deflate.total_out());
        // The only error is one of its state, which is always right.
        let _ = self.deflate.compress(input, &mut output[held..], how);
        let consumed = (self.deflate.total_in() - before_in) as usize;
        let mut produced = held + (self.deflate.total_out() - before_out) as usize;
        let done = consumed == input.len() && produced < output.len();
        if flush == Flush::Message && done && produced == 0 && !output.is_empty() {
            // Nothing new since the last flush, to which zlib says nothing. RFC 7692 7.2.3.6: an empty block.
            output[0] = 0;
            produced = 1;
        } else if flush == Flush::Message {
            let kept = produced.min(TAIL);
            produced -= kept;
            if !done {
                self.held[..kept].copy_from_slice(&output[produced..produced + kept]);
                self.held_len = kept;
            }
        }
        Progress { consumed, produced, done }
    }
}

#[cfg(test)]
mod tests {
    use wirelet_proto::Codec;

    use super::super::inflater::Inflater;
    use super::*;

    fn deflated(deflater: &mut Deflater, mut input: &[u8], room: usize, flush: Flush) -> Vec<u8> {
        let (mut all, mut output) = (Vec::new(), vec![0; room]);
        loop {
            let progress = deflater.compress(input, &mut output, flush);
            all.extend_from_slice(&output[..progress.produced]);
            input = &input[progress.consumed..];
            if progress.done {
                return all;
            }
        }
    }

    #[test]
    fn messages_come_back_whatever_the_room_and_refer_to_those_before() {
        let text = br#"{"sensor":"temperature","value":23.5,"unit":"C"},{"sensor":"humidity","value":41}"#;
        for bits in 9..=15 {
            for room in [LEAST_ROOM, 17, 18, 19, 20, 21, 1000] {
                let mut deflater = Deflater::new(bits, 6, 1);
                let mut inflater = Inflater::new(true);
                let mut lengths = Vec::new();
                for len in [80, 80, 0, 1, 80] {
                    let parts = [
                        deflated(&mut deflater, &text[..len / 2], room, Flush::None),
                        deflated(&mut deflater, &text[len / 2..len * 3 / 4], room, Flush::Fragment),
                        deflated(&mut deflater, &text[len * 3 / 4..len], room, Flush::Message),
                    ];
                    let message = parts.concat();
                    lengths.push(message.len());
                    let mut back = [0; 100];
                    let progress = inflater.decompress(&message, &mut back, true).unwrap();
                    assert!(progress.done);
                    assert_eq!(&back[..progress.produced], &text[..len], "{bits} bits, room for {room}");
                }
                assert!(lengths[1] * 2 < lengths[0], "{lengths:?}");
                deflater.reset();
                let again = deflated(&mut deflater, &text[..80], room, Flush::Message);
                assert_eq!(
                    Inflater::new(false).decompress(&again, &mut [0; 100], true).unwrap().produced,
                    80
                );
            }
        }
    }
}
