//! Counts the retired instructions of an echoed text message, from memory to memory.
//!
//! The packet, one masked text frame, is taken in by a copy (a socket's `read`), the text is checked, and the echo, one unmasked
//! frame, stands in `out` at the end. Connections are open before counting begins. The numbers repeat exactly; the largest of
//! three is printed.

#![no_std]
#![no_main]

use core::fmt::Write;
use core::hint::black_box;

use wirelet_embedded::proto::{
    Config, Connection, Event, Fixed, Instant, MessageKind, NoKeys, RecvBuffer, Role, Status,
};
use wirelet_footprint::echo::{Bench, check, count, echoed, for_each_length};
use wirelet_footprint::machine::{Uart, exit};

static CONFIG: Config = Config::new();

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
        let Ok(Status::Ready(_)) = status else {
            core.sent(end, 0, now);
            return end;
        };
        if let Event::Text(text) = core.event(rx)
            && let Ok(head) = core.begin_frame(MessageKind::Text, text.len() as u64, true, &mut NoKeys)
        {
            let (to, rest) = out.split_at_mut(head.len());
            to.copy_from_slice(&head);
            end = head.len() + core.copy_masked(text.as_bytes(), rest);
        }
    }
}

#[inline(never)]
fn copy(packet: &[u8], out: &mut [u8]) -> usize {
    match out.get_mut(..packet.len()) {
        Some(room) => room.copy_from_slice(packet),
        None => return 0,
    }
    packet.len()
}

fn measure(bench: Bench<'_>) {
    let Bench { len, packet, out, buffer, .. } = bench;
    count("copy", len, packet.len(), || copy(black_box(packet), out));
    let mut core = Connection::new(Role::Server, &CONFIG, Instant::from_millis(0));
    let mut rx = RecvBuffer::new(Fixed::new(buffer));
    count("wirelet", len, echoed(len), || wirelet(&mut core, &mut rx, black_box(packet), out));
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
