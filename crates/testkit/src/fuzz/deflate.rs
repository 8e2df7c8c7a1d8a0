//! Compression: our encoder against reference decoders, our decompressor against zlib-rs.

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress, Status};
use wirelet_deflate::{Deflater, Inflater};
use wirelet_proto::Flush;
use wirelet_proto::deflate::Window;

use crate::deflate::{References, TAIL, compress, decompress};

/// Bytes of the input of [`deflate`] and [`inflate`] before the messages.
pub const DEFLATE_HEAD: usize = 6;

/// What the first bytes choose.
struct Choice {
    window: Window,
    memory: usize,
    inputs: [usize; 2],
    outputs: [usize; 2],
}

impl Choice {
    fn of(head: &[u8; DEFLATE_HEAD], largest: u8) -> Self {
        let bits = 8 + (head[0] & 7) % (largest - 7);
        let window = Window { bits, takeover: head[0] & 8 != 0 };
        let memory = Deflater::least_memory(bits.min(12)) + usize::from(head[1]) * 4;
        let size = |byte: u8| if byte == 255 { 1 << 16 } else { 1 + usize::from(byte) };
        let [_, _, a, b, c, d] = *head;
        Self { window, memory, inputs: [size(a), size(b)], outputs: [size(c), size(d)] }
    }

    fn inflater(&self) -> Inflater<Vec<u8>> {
        Inflater::new(vec![0x55; 1 << self.window.bits], self.window).expect("a window of this size")
    }
}

std::thread_local! {
    /// Made once: they are large. Our own decompressor sees to the size of the window.
    static REFERENCES: RefCell<References> = RefCell::new(References::new(Window::LARGEST));
}

/// Cuts at bytes of this value: the end of a message, or of a fragment when the next byte is the same.
const CUT: u8 = 0x0a;

/// Messages through our encoder: they come back through zlib-rs, miniz_oxide and our decompressor, and the pieces don't
/// matter.
pub fn deflate(data: &[u8]) {
    let Some((head, text)) = data.split_first_chunk::<DEFLATE_HEAD>() else { return };
    let choice = Choice::of(head, 12);
    let new = || Deflater::new(vec![0x33; choice.memory], choice.window).expect("enough memory");
    let (mut whole, mut pieces) = (new(), new());
    let mut inflater = choice.inflater();
    REFERENCES.with_borrow_mut(|references| {
        references.restart(choice.window.takeover);
        round_trips(&choice, text, [&mut whole, &mut pieces], references, &mut inflater);
    });
}

fn round_trips(
    choice: &Choice,
    text: &[u8],
    [whole, pieces]: [&mut Deflater<Vec<u8>>; 2],
    references: &mut References,
    inflater: &mut Inflater<Vec<u8>>,
) {
    let (mut payload, mut message) = (Vec::new(), Vec::new());
    let mut rest = text;
    loop {
        let len = rest.iter().position(|byte| *byte == CUT).unwrap_or(rest.len());
        let (part, after) = rest.split_at(len);
        let flush = if after.starts_with(&[CUT, CUT]) { Flush::Fragment } else { Flush::Message };
        let compressed = compress(whole, part, flush, &[usize::MAX], &[1 << 13]);
        assert_eq!(compress(pieces, part, flush, &choice.inputs, &choice.outputs), compressed);
        // Five bytes for each stored block, which is at least 50 bytes of the shortest log.
        assert!(compressed.len() <= part.len() + 5 * (part.len() / 50 + 2), "{} bytes", compressed.len());
        payload.extend(compressed);
        message.extend_from_slice(part);
        if flush == Flush::Message {
            assert_eq!(references.check(&payload, &message), Ok(()));
            let back = decompress(inflater, &payload, &choice.inputs, &choice.outputs);
            assert!(back.as_ref() == Ok(&message), "our decompressor");
            payload.clear();
            message.clear();
        }
        let cut = if flush == Flush::Fragment { 2 } else { 1 };
        match after.get(cut..) {
            Some(next) => rest = next,
            None => return,
        }
    }
}

/// Any bytes as two messages of one connection: what our decompressor makes of them does not depend on the pieces, and
/// when they are whole, it is what zlib-rs makes of them.
pub fn inflate(data: &[u8]) {
    let Some((head, wire)) = data.split_first_chunk::<DEFLATE_HEAD>() else { return };
    let choice = Choice::of(head, 15);
    let (first, second) = wire.split_at(wire.len() * usize::from(head[1]) / 255);
    let (mut whole, mut pieces) = (choice.inflater(), choice.inflater());
    let mut zlib = Reference::new(choice.window);
    for payload in [first, second] {
        let expected = decompress(&mut whole, payload, &[usize::MAX], &[1 << 16]);
        let found = decompress(&mut pieces, payload, &choice.inputs, &choice.outputs);
        match (&expected, &found) {
            (Ok(expected), Ok(found)) => assert!(expected == found, "the pieces matter"),
            (Err(_), Err(_)) => return,
            _ => panic!("corrupt or not is a matter of the pieces: {expected:?} {found:?}"),
        }
        let message = expected.unwrap_or_default();
        assert!(zlib.message(payload, message.len()).as_ref() == Some(&message), "zlib-rs");
    }
}

/// zlib-rs, told to go on after a final block.
struct Reference {
    takeover: bool,
    stream: Decompress,
    history: Vec<u8>,
}

impl Reference {
    fn new(window: Window) -> Self {
        Self { takeover: window.takeover, stream: Decompress::new(false), history: Vec::new() }
    }

    fn message(&mut self, payload: &[u8], len: usize) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(len + 1);
        let wire = [payload, &TAIL].concat();
        let mut rest = wire.as_slice();
        // What is left of the bytes that were put back behind a final block is nothing.
        while !rest.is_empty() {
            let before = self.stream.total_in();
            let status = self.stream.decompress_vec(rest, &mut out, FlushDecompress::Sync).ok()?;
            let consumed = (self.stream.total_in() - before) as usize;
            rest = &rest[consumed..];
            match status {
                Status::StreamEnd => {
                    self.restart(&out)?;
                    if rest.len() <= TAIL.len() {
                        break;
                    }
                }
                _ if consumed == 0 => return None,
                _ => {}
            }
        }
        if self.takeover {
            self.history.extend_from_slice(&out);
        }
        // A message that our decompressor takes ends between blocks.
        self.restart(&[])?;
        Some(out)
    }

    fn restart(&mut self, out: &[u8]) -> Option<()> {
        self.stream.reset(false);
        let window = [&self.history, out].concat();
        let window = &window[window.len().saturating_sub(1 << 15)..];
        if !window.is_empty() {
            self.stream.set_dictionary(window).ok()?;
        }
        Some(())
    }
}
