//! The echoes of a masked text from memory to memory: what all of them are given, and how they are counted.

use core::fmt::Write;
use core::hint::black_box;

use crate::machine::{Uart, retired};

/// Room for the largest packet, and for what a fixed buffer needs besides.
pub const ROOM: usize = 1280;

/// Memory that begins with a whole word, as that of network stacks does.
#[repr(C, align(8))]
struct Words([u8; ROOM]);

/// What an echo is made of.
#[derive(Debug)]
pub struct Bench<'b> {
    /// Letters in the text.
    pub len: usize,
    /// A masked frame with the text.
    pub packet: &'b [u8],
    /// Where the echo is to stand.
    pub out: &'b mut [u8],
    /// A receive buffer.
    pub buffer: &'b mut [u8],
    /// Another one.
    pub text: &'b mut [u8],
}

/// Calls `run` for each length of the text.
pub fn for_each_length(mut run: impl FnMut(Bench<'_>)) {
    for len in [20, 1024] {
        let [mut packet, mut out, mut buffer, mut text] = [const { Words([0; ROOM]) }; 4];
        let size = frame(len, &mut packet.0);
        let [out, buffer, text] = [&mut out.0[..], &mut buffer.0[..], &mut text.0[..]];
        run(Bench { len, packet: &packet.0[..size], out, buffer, text });
    }
}

/// A masked text frame of `len` letters; answers its length.
fn frame(len: usize, out: &mut [u8]) -> usize {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let head = if len < 126 {
        out[..2].copy_from_slice(&[0x81, 0x80 | len as u8]);
        2
    } else {
        out[..4].copy_from_slice(&[0x81, 0xfe, (len >> 8) as u8, len as u8]);
        4
    };
    out[head..head + 4].copy_from_slice(&key);
    for (at, byte) in out[head + 4..head + 4 + len].iter_mut().enumerate() {
        *byte = letter(at) ^ key[at % 4];
    }
    head + 4 + len
}

fn letter(at: usize) -> u8 {
    b'a' + (at % 26) as u8
}

/// What the echo of `len` letters takes, bytes.
pub const fn echoed(len: usize) -> usize {
    len + if len < 126 { 2 } else { 4 }
}

/// The largest of three counts of `echo`, which answers the length of what it has written.
pub fn count(name: &str, len: usize, wanted: usize, mut echo: impl FnMut() -> usize) {
    let mut most = 0;
    for _ in 0..3 {
        let before = retired();
        let written = echo();
        most = retired().wrapping_sub(before).max(most);
        assert!(written == wanted, "{name}: {written} instead of {wanted} bytes");
    }
    let _ = writeln!(Uart, "echo {len} {most} {name}");
}

/// What was written is the frame that was to be written.
pub fn check(out: &mut [u8], len: usize) {
    let head = if len < 126 { 2 } else { 4 };
    let expected: [u8; 4] = [0x81, if len < 126 { len as u8 } else { 126 }, (len >> 8) as u8, len as u8];
    assert!(out[..head] == expected[..head]);
    assert!(out[head..head + len].iter().enumerate().all(|(at, byte)| *byte == letter(at)));
    out.fill(0);
}

/// Counts an echo in place; what the socket got is looked at afterwards.
pub fn count_in_place(
    name: &str,
    len: usize,
    out: &mut [u8],
    mut echo: impl FnMut(&mut dyn FnMut(&[u8], &[u8])),
) {
    let wanted = echoed(len);
    count(name, len, wanted, || {
        let mut written = 0;
        echo(&mut |head, payload| written = black_box(head).len() + black_box(payload).len());
        written
    });
    echo(&mut |head, payload| {
        out[..head.len()].copy_from_slice(head);
        out[head.len()..wanted].copy_from_slice(payload);
    });
    check(out, len);
}
