//! A toy codec for the hook that compression will use: run lengths.

use wirelet_proto::{Codec, CodecError, Progress};

/// Pairs of a count (1–255) and a byte; a count of zero is corrupt, as is a message that ends inside a pair.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunLength {
    /// A count whose byte has not arrived.
    count: Option<u8>,
    /// Bytes that wait for room.
    owed: (u8, u8),
    /// The largest output that was written in one call, bytes.
    pub largest: usize,
    /// Whether it wants whole messages.
    pub collects: bool,
}

impl RunLength {
    /// `data` in pairs.
    pub fn compress(data: &[u8]) -> Vec<u8> {
        data.chunk_by(|a, b| a == b)
            .flat_map(|run| run.chunks(255))
            .flat_map(|run| [run.len() as u8, run[0]])
            .collect()
    }

    fn pay(&mut self, output: &mut [u8], produced: &mut usize) {
        let n = usize::from(self.owed.0).min(output.len() - *produced);
        output[*produced..*produced + n].fill(self.owed.1);
        *produced += n;
        self.owed.0 -= n as u8;
        self.largest = self.largest.max(*produced);
    }
}

impl Codec for RunLength {
    fn decompress(&mut self, input: &[u8], output: &mut [u8], last: bool) -> Result<Progress, CodecError> {
        let (mut consumed, mut produced) = (0, 0);
        self.pay(output, &mut produced);
        for byte in input {
            if self.owed.0 > 0 {
                break;
            }
            consumed += 1;
            match self.count.take() {
                None if *byte == 0 => return Err(CodecError),
                None => self.count = Some(*byte),
                Some(count) => {
                    self.owed = (count, *byte);
                    self.pay(output, &mut produced);
                }
            }
        }
        let done = consumed == input.len() && self.owed.0 == 0;
        if done && last && self.count.is_some() {
            return Err(CodecError);
        }
        Ok(Progress { consumed, produced, done })
    }

    fn collects(&self) -> bool {
        self.collects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back_through_any_room() {
        let data: Vec<u8> = [[7; 300].as_slice(), b"aab", &[0; 1]].concat();
        let packed = RunLength::compress(&data);
        assert_eq!(packed, [255, 7, 45, 7, 2, b'a', 1, b'b', 1, 0]);
        for room in [1, 2, 100, 1000] {
            let mut codec = RunLength::default();
            let (mut input, mut whole, mut out) = (&packed[..], Vec::new(), vec![0; room]);
            loop {
                let progress = codec.decompress(input, &mut out, true).unwrap();
                input = &input[progress.consumed..];
                whole.extend_from_slice(&out[..progress.produced]);
                if progress.done {
                    break;
                }
            }
            assert_eq!(whole, data);
        }
        assert!(RunLength::default().decompress(&[0, 1], &mut [0; 9], false).is_err());
        assert!(RunLength::default().decompress(&[3], &mut [0; 9], true).is_err());
    }
}
