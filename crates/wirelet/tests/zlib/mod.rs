//! What tests compress and decompress with, apart from what they test.

#![allow(dead_code, unreachable_pub)]

use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status};

pub const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A fragment of a message (with the tail) or its end (without).
pub fn deflated(deflate: &mut Deflate, data: &[u8], last: bool) -> Vec<u8> {
    let mut out = vec![0; data.len() + data.len() / 8 + 100];
    let before = deflate.total_out();
    deflate.compress(data, &mut out, DeflateFlush::SyncFlush).unwrap();
    out.truncate((deflate.total_out() - before) as usize);
    if out.is_empty() {
        // Nothing new: zlib says nothing.
        out.extend_from_slice(&[0, 0, 0, 0xff, 0xff]);
    }
    if last {
        assert!(out.ends_with(&TAIL));
        out.truncate(out.len() - TAIL.len());
    }
    out
}

/// A message that refers to no other one.
pub fn message(data: &[u8]) -> Vec<u8> {
    deflated(&mut Deflate::new(6, false, 15), data, true)
}

/// So many megabytes of zeros, a thousand times smaller.
pub fn zeros(megabytes: usize) -> Vec<u8> {
    let piece = deflated(&mut Deflate::new(9, false, 15), &vec![0; 1 << 20], false);
    let mut out = piece.repeat(megabytes);
    out.truncate(out.len() - TAIL.len());
    out
}

/// A whole message. So little is handed out at a time that nothing but the window is left to refer to.
pub fn inflated(inflate: &mut Inflate, message: &[u8]) -> Vec<u8> {
    let whole = [message, &TAIL].concat();
    let (mut rest, mut all, mut room) = (&whole[..], Vec::new(), vec![0; 64]);
    loop {
        let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
        let status = inflate.decompress(rest, &mut room, InflateFlush::SyncFlush).unwrap();
        rest = &rest[(inflate.total_in() - before_in) as usize..];
        let some = (inflate.total_out() - before_out) as usize;
        all.extend_from_slice(&room[..some]);
        assert!(status != Status::StreamEnd);
        if rest.is_empty() && some < room.len() {
            return all;
        }
    }
}
