//! The echoes of `echo` and `echo_in_place` by other libraries. All do the same work: they take the packet in by a copy, and check
//! the text.

#![no_std]
#![no_main]

use core::fmt::Write;
use core::hint::black_box;
use core::str::from_utf8;

use embedded_websocket::{WebSocketSendMessageType, WebSocketServer};
use wirelet_footprint::echo::{Bench, check, count, count_in_place, echoed, for_each_length};
use wirelet_footprint::machine::{Uart, block_on, exit};
use ws_framer::{WsFrame, WsRxFramer, WsTxFramer};

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

/// Of the others only `edge-ws` can, by its functions for slices.
#[inline(never)]
fn edge_ws_in_place(buffer: &mut [u8], packet: &[u8], socket: &mut dyn FnMut(&[u8], &[u8])) {
    let mut echo = || {
        let received = buffer.get_mut(..packet.len())?;
        received.copy_from_slice(packet);
        let (header, at) = edge_ws::FrameHeader::deserialize(received).ok()?;
        let text = received.get_mut(at..at.checked_add(header.payload_len as usize)?)?;
        header.mask(text, 0);
        from_utf8(text).ok()?;
        let mut head = [0; edge_ws::FrameHeader::MAX_LEN];
        let len = edge_ws::FrameHeader { mask_key: None, ..header }.serialize(&mut head).ok()?;
        socket(head.get(..len)?, text);
        Some(())
    };
    echo();
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

fn measure(bench: Bench<'_>) {
    let Bench { len, packet, out, buffer, text } = bench;
    for (name, checked) in [("edge-ws, UTF-8 unchecked", false), ("edge-ws", true)] {
        count(name, len, echoed(len), || edge_ws(buffer, black_box(packet), out, black_box(checked)));
        check(out, len);
    }
    for (name, checked) in [("edge-ws slices, UTF-8 unchecked", false), ("edge-ws slices", true)] {
        count(name, len, echoed(len), || edge_ws_slices(buffer, black_box(packet), out, black_box(checked)));
        check(out, len);
    }

    count_in_place("edge-ws slices in place", len, out, |socket| {
        edge_ws_in_place(buffer, black_box(packet), socket)
    });

    let mut server = WebSocketServer::new_server();
    let key = "dGhlIHNhbXBsZSBub25jZQ==".into();
    assert!(server.server_accept(&key, None, &mut [0; 256]).is_ok());
    count("embedded-websocket", len, echoed(len), || {
        embedded_websocket(&mut server, [&mut *buffer, &mut *text], black_box(packet), out)
    });
    check(out, len);

    let mut rx = WsRxFramer::new(buffer);
    let mut tx = WsTxFramer::new(false, &mut *out);
    count("ws-framer", len, echoed(len), || ws_framer(&mut rx, &mut tx, black_box(packet)));
    check(out, len);
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    for_each_length(measure);
    exit(0)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Uart, "{info}");
    exit(1)
}
