//! RFC 6455's examples, every kind of illegal header, texts that are not UTF-8.

use wirelet_proto::{ProtocolError, Role};

use crate::trace::Seen;
use crate::wire::{Frame, LengthForm, stream};

/// An example of RFC 6455 5.7: who sends it, its bytes, what it means.
pub fn rfc_examples() -> Vec<(Role, Vec<u8>, Vec<Seen>)> {
    let hello = || vec![Seen::Text("Hello".into())];
    let long = |len: usize| (0..len).map(|i| i as u8).collect::<Vec<_>>();
    let binary =
        |head: &[u8], len| (Role::Server, [head, &long(len)].concat(), vec![Seen::Binary(long(len))]);
    vec![
        (Role::Server, vec![0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], hello()),
        (Role::Client, vec![0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], hello()),
        (Role::Server, vec![0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f], hello()),
        (Role::Server, vec![0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], vec![Seen::Ping(b"Hello".to_vec())]),
        (
            Role::Client,
            vec![0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58],
            vec![Seen::Pong(b"Hello".to_vec())],
        ),
        binary(&[0x82, 0x7e, 0x01, 0x00], 256),
        binary(&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0], 65536),
    ]
}

/// Legal streams of many shapes, as `role` sends them, each with a name.
pub fn legal_streams(role: Role) -> Vec<(&'static str, Vec<u8>)> {
    let text = "Hello-µ@ßöäüàá-UTF-8!! 日本語😀";
    let long = text.repeat(4);
    let frames: Vec<(&'static str, Vec<Frame>)> = vec![
        ("nothing", vec![]),
        ("empty text", vec![Frame::text("")]),
        ("empty binary", vec![Frame::binary([])]),
        ("text", vec![Frame::text(text)]),
        ("16 bits of length", vec![Frame::binary([7; 126]), Frame::text(&long)]),
        ("coalesced", vec![Frame::text("a"), Frame::binary([1, 2]), Frame::ping("p"), Frame::text("b")]),
        (
            "fragments cut inside characters",
            vec![
                Frame::text(&text.as_bytes()[..7]).fragment(),
                Frame::continuation(&text.as_bytes()[7..33]).fragment(),
                Frame::continuation(&text.as_bytes()[33..]),
            ],
        ),
        (
            "control frames between fragments",
            vec![
                Frame::text("He").fragment(),
                Frame::ping("one"),
                Frame::continuation("").fragment(),
                Frame::pong("two"),
                Frame::continuation("llo").fragment(),
                Frame::ping([3; 125]),
                Frame::continuation(""),
                Frame::binary([9]),
            ],
        ),
        (
            "empty fragments",
            vec![
                Frame::binary([]).fragment(),
                Frame::continuation([]).fragment(),
                Frame::continuation([]),
                Frame::text("").fragment(),
                Frame::continuation("x"),
            ],
        ),
        ("close", vec![Frame::text("bye"), Frame::close(1001, "går"), Frame::text("ignored")]),
        ("close without code", vec![Frame::ping([]), Frame::close_empty(), Frame::new(3, "ignored")]),
        ("close inside a message", vec![Frame::text("be").fragment(), Frame::close(4999, "")]),
    ];
    frames.into_iter().map(|(name, frames)| (name, stream(role, frames))).collect()
}

/// Everything that is wrong with a frame by itself: bytes as `role` sends them, and the error. The last byte is
/// the one that gives it away.
pub fn illegal_headers(role: Role) -> Vec<(Vec<u8>, ProtocolError)> {
    use ProtocolError::*;
    let mut all = Vec::new();
    let cut = |frame: Frame, len: usize| frame.from(role).header()[..len].to_vec();
    for opcode in [0_u8, 1, 2, 8, 9, 10] {
        for rsv in 1..8 {
            all.push((cut(Frame::new(opcode, []).rsv(rsv), 1), ReservedBits));
        }
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        all.push((cut(Frame::new(opcode, []), 1), ReservedOpCode));
        all.push((cut(Frame::new(opcode, []).fragment(), 1), ReservedOpCode));
    }
    for opcode in [8, 9, 10] {
        all.push((cut(Frame::new(opcode, []).fragment(), 1), ControlFragmented));
        all.push((cut(Frame::new(opcode, []).announcing(126), 2), ControlTooLong));
        all.push((cut(Frame::new(opcode, []).announcing(1 << 20), 2), ControlTooLong));
    }
    all.push((cut(Frame::continuation([]), 1), ContinuationOutsideMessage));
    all.push((cut(Frame::continuation([]).fragment(), 1), ContinuationOutsideMessage));
    let begun = Frame::text("a").fragment().from(role).bytes();
    for opcode in [1, 2] {
        let second = cut(Frame::new(opcode, "b"), 1);
        all.push(([&begun[..], &second].concat(), MessageInsideMessage));
    }
    for opcode in [1, 2, 8, 9, 10] {
        let wrong = Frame::new(opcode, []);
        all.push(match role {
            Role::Client => (wrong.bytes()[..2].to_vec(), Unmasked),
            Role::Server => (wrong.masked([0; 4]).bytes()[..2].to_vec(), Masked),
        });
    }
    for len in [0, 1, 124, 125] {
        all.push((
            cut(Frame::binary([]).length_form(LengthForm::Bits16).announcing(len), 4),
            LengthNotMinimal,
        ));
    }
    for len in [0, 125, 126, 65535] {
        all.push((
            cut(Frame::binary([]).length_form(LengthForm::Bits64).announcing(len), 10),
            LengthNotMinimal,
        ));
    }
    for len in [1 << 63, u64::MAX] {
        all.push((cut(Frame::binary([]).announcing(len), 10), LengthTopBit));
    }
    all
}

/// Bytes that are not UTF-8, and the index of the first byte that no text could have there; the length where
/// only the end is missing.
pub const NOT_UTF8: &[(&[u8], usize)] = &[
    // The shape of Autobahn's 6.3: a surrogate after Greek text.
    (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64", 12),
    // 6.4: a code point above U+10FFFF.
    (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80\x65\x64\x69\x74\x65\x64", 12),
    // 6.6: cut off inside the first, the second and the last character.
    (b"\xce", 1),
    (b"\xce\xba\xe1\xbd", 4),
    (b"\xf0\x90\x80", 3),
    // 6.8: sequences of five and six bytes.
    (b"\xf8\x88\x80\x80\x80", 0),
    (b"\xfc\x84\x80\x80\x80\x80", 0),
    // 6.10, 6.11: beyond the last code point.
    (b"\xf7\xbf\xbf\xbf", 0),
    (b"\xfb\xbf\xbf\xbf\xbf", 0),
    (b"\xf4\x90\x80\x80", 1),
    // 6.12: continuation bytes alone.
    (b"\x80", 0),
    (b"\xbf", 0),
    (b"\x80\xbf\x80\xbf", 0),
    (b"a\xc3\xa9\x80", 3),
    // 6.13, 6.14: leading bytes alone.
    (b"\xc0 \xc1 ", 0),
    (b"\xc3 ", 1),
    (b"\xe0 ", 1),
    (b"\xe1\x80 ", 2),
    (b"\xf1\x80\x80 ", 3),
    // 6.16: bytes that are in no text.
    (b"\xfe", 0),
    (b"ok\xff", 2),
    // 6.17, 6.18: longer forms than needed.
    (b"\xc0\xaf", 0),
    (b"\xe0\x80\xaf", 1),
    (b"\xe0\x9f\xbf", 1),
    (b"\xf0\x80\x80\xaf", 1),
    (b"\xf0\x8f\xbf\xbf", 1),
    // 6.20, 6.21: surrogates, single and paired.
    (b"\xed\xa0\x80", 1),
    (b"\xed\xbf\xbf", 1),
    (b"\xed\xa0\x80\xed\xb0\x80", 1),
];

/// [`NOT_UTF8`], also behind long runs of narrow and of wide characters, where vector code works.
pub fn not_utf8() -> Vec<(Vec<u8>, usize)> {
    let prefixes = ["".into(), "a".repeat(96), "日".repeat(33), "é😀".repeat(40)];
    let behind = |prefix: &String| {
        let prefix = prefix.as_bytes().to_vec();
        NOT_UTF8.iter().map(move |(bytes, at)| ([&prefix, *bytes].concat(), prefix.len() + at))
    };
    prefixes.iter().flat_map(behind).collect()
}
/// Payloads of compressed messages that end between two blocks, and what they hold. Both drivers deliver them.
pub const BETWEEN_BLOCKS: [(&[u8], &str); 4] = [
    // A final block without the empty one behind it.
    (&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], "Hello"),
    // The four bytes at the end that RFC 7692 7.2.1 has senders leave out.
    (&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff], "Hello"),
    (&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00, 0x00, 0x00, 0xff, 0xff], "Hello"),
    // No bytes at all.
    (&[], ""),
];
