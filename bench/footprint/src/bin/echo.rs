//! Counts the retired instructions of an echoed text message, from memory to memory, for this library and for others.
//!
//! All do the same work: the packet, one masked text frame, is taken in by a copy (a socket's `read`), the text is checked,
//! and the echo, one unmasked frame, stands in `out` at the end. Connections are open before counting begins. The numbers
//! repeat exactly; the largest of three is printed.

#![no_std]
#![no_main]

use core::fmt::Write;
use core::hint::black_box;
use core::str::from_utf8;

use embedded_websocket::{WebSocketSendMessageType, WebSocketServer};
use wirelet_embedded::proto::{
    Config, Connection, Event, Fixed, Instant, MessageKind, NoKeys, RecvBuffer, Role, Status,
};
use wirelet_footprint::machine::{Uart, block_on, exit, retired};
use ws_framer::{WsFrame, WsRxFramer, WsTxFramer};

/// Room for the largest packet, and for what a fixed buffer needs besides.
const ROOM: usize = 1280;

/// Memory that begins with a whole word, as that of network stacks does.
#[repr(C, align(8))]
struct Words([u8; ROOM]);

static CONFIG: Config = Config::new();

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

type Rx<'b> = RecvBuffer<Fixed<&'b mut [u8]>>;

/// What a driver does with a packet: takes it in, and puts the echo out. Answers the length of the echo.
#[inline(never)]
fn wirelet(core: &mut Connection<&'static Config>, rx: &mut Rx<'_>, packet: &[u8], out: &mut [u8]) -> usize {
    let now = Instant::from_millis(1);
    if let Some(room) = rx.spare_mut().get_mut(..packet.len()) {
        room.copy_from_slice(packet);
        rx.commit(packet.len());
    }
    let mut end = 0;
    loop {
        let status = core.advance(rx, &mut NoKeys, now);
        let Ok(Status::Ready(_)) = status else { return end };
        if let Event::Text(text) = core.event(rx)
            && let Ok(head) = core.begin_frame(MessageKind::Text, text.len() as u64, true, &mut NoKeys)
        {
            let (to, rest) = out.split_at_mut(head.len());
            to.copy_from_slice(&head);
            end = head.len() + core.copy_masked(text.as_bytes(), rest);
        }
    }
}

/// With its functions for streams. It leaves the check of the text to the caller, who may leave it out.
#[inline(never)]
fn edge_ws(buffer: &mut [u8], packet: &[u8], out: &mut [u8], check: bool) -> usize {
    let room = out.len();
    let mut rest = out;
    let echo = async {
        let (kind, len) = edge_ws::io::recv(packet, buffer).await.ok()?;
        let text = buffer.get(..len)?;
        if check {
            from_utf8(text).ok()?;
        }
        edge_ws::io::send(&mut rest, kind, None, text).await.ok()
    };
    match block_on(echo) {
        Some(()) => room - rest.len(),
        None => 0,
    }
}

/// With its functions for slices.
#[inline(never)]
fn edge_ws_slices(buffer: &mut [u8], packet: &[u8], out: &mut [u8], check: bool) -> usize {
    let mut echo = || {
        let received = buffer.get_mut(..packet.len())?;
        received.copy_from_slice(packet);
        let (header, at) = edge_ws::FrameHeader::deserialize(received).ok()?;
        let text = received.get_mut(at..at.checked_add(header.payload_len as usize)?)?;
        header.mask(text, 0);
        if check {
            from_utf8(text).ok()?;
        }
        let answer = edge_ws::FrameHeader { mask_key: None, ..header };
        let len = answer.serialize(out).ok()?;
        out.get_mut(len..len + text.len())?.copy_from_slice(text);
        Some(len + text.len())
    };
    echo().unwrap_or(0)
}

/// It leaves the check of the text to the caller.
#[inline(never)]
fn embedded_websocket(
    server: &mut WebSocketServer,
    [buffer, text]: [&mut [u8]; 2],
    packet: &[u8],
    out: &mut [u8],
) -> usize {
    let mut echo = || {
        let received = buffer.get_mut(..packet.len())?;
        received.copy_from_slice(packet);
        let read = server.read(received, text).ok()?;
        let text = from_utf8(text.get(..read.len_to)?).ok()?;
        server.write(WebSocketSendMessageType::Text, true, text.as_bytes(), out).ok()
    };
    echo().unwrap_or(0)
}

#[inline(never)]
fn ws_framer(rx: &mut WsRxFramer<'_>, tx: &mut WsTxFramer<'_>, packet: &[u8]) -> usize {
    let mut echo = || {
        rx.read_buf().get_mut(..packet.len())?.copy_from_slice(packet);
        rx.advance(packet.len());
        match rx.next_frame()?.ok()? {
            WsFrame::Text(text) => Some(tx.frame(WsFrame::Text(text))?.len()),
            _ => None,
        }
    };
    echo().unwrap_or(0)
}

#[inline(never)]
fn copy(packet: &[u8], out: &mut [u8]) -> usize {
    match out.get_mut(..packet.len()) {
        Some(room) => room.copy_from_slice(packet),
        None => return 0,
    }
    packet.len()
}

/// The largest of three counts of `echo`, which answers the length of what it has written.
fn count(name: &str, len: usize, wanted: usize, mut echo: impl FnMut() -> usize) {
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
fn check(out: &mut [u8], len: usize) {
    let head = if len < 126 { 2 } else { 4 };
    let expected: [u8; 4] = [0x81, if len < 126 { len as u8 } else { 126 }, (len >> 8) as u8, len as u8];
    assert!(out[..head] == expected[..head]);
    assert!(out[head..head + len].iter().enumerate().all(|(at, byte)| *byte == letter(at)));
    out.fill(0);
}

fn measure(len: usize) {
    let [mut packet, mut out, mut buffer, mut text] = [const { Words([0; ROOM]) }; 4];
    let (out, buffer, text) = (&mut out.0[..], &mut buffer.0[..], &mut text.0[..]);
    let size = frame(len, &mut packet.0);
    let packet = &packet.0[..size];
    let wanted = size - 4;

    count("copy", len, size, || copy(black_box(packet), out));

    {
        let mut core = Connection::new(Role::Server, &CONFIG, Instant::from_millis(0));
        let mut rx = RecvBuffer::new(Fixed::new(&mut *buffer));
        count("wirelet", len, wanted, || wirelet(&mut core, &mut rx, black_box(packet), out));
    }
    check(out, len);

    for (name, checked) in [("edge-ws, UTF-8 unchecked", false), ("edge-ws", true)] {
        count(name, len, wanted, || edge_ws(buffer, black_box(packet), out, black_box(checked)));
        check(out, len);
    }
    for (name, checked) in [("edge-ws slices, UTF-8 unchecked", false), ("edge-ws slices", true)] {
        count(name, len, wanted, || edge_ws_slices(buffer, black_box(packet), out, black_box(checked)));
        check(out, len);
    }

    let mut server = WebSocketServer::new_server();
    let key = "dGhlIHNhbXBsZSBub25jZQ==".into();
    assert!(server.server_accept(&key, None, &mut [0; 256]).is_ok());
    count("embedded-websocket", len, wanted, || {
        embedded_websocket(&mut server, [&mut *buffer, &mut *text], black_box(packet), out)
    });
    check(out, len);

    let mut rx = WsRxFramer::new(buffer);
    let mut tx = WsTxFramer::new(false, &mut *out);
    count("ws-framer", len, wanted, || ws_framer(&mut rx, &mut tx, black_box(packet)));
    check(out, len);
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    measure(20);
    measure(1024);
    exit(0)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Uart, "{info}");
    exit(1)
}
