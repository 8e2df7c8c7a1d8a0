//! Counts the retired instructions of an echo in place: as in `echo`, but the frame's head and the text where it is are handed to
//! the socket, which may write both at once.

#![no_std]
#![no_main]

use core::fmt::Write;
use core::hint::black_box;

use wirelet_embedded::proto::{
    Config, Connection, Event, Fixed, Instant, MessageKind, NoKeys, RecvBuffer, Role, Status,
};
use wirelet_footprint::echo::{Bench, count_in_place, for_each_length};
use wirelet_footprint::machine::{Uart, exit};

static CONFIG: Config = Config::new();

type Rx<'b> = RecvBuffer<Fixed<&'b mut [u8]>>;

#[inline(never)]
fn wirelet(
    core: &mut Connection<&'static Config>,
    rx: &mut Rx<'_>,
    packet: &[u8],
    socket: &mut dyn FnMut(&[u8], &[u8]),
) {
    let now = Instant::from_millis(1);
    if let Some(room) = rx.spare_mut().get_mut(..packet.len()) {
        room.copy_from_slice(packet);
        rx.commit(packet.len());
    }
    while let Ok(Status::Ready(_)) = core.advance(rx, &mut NoKeys, now) {
        if let Event::Text(text) = core.event(rx)
            && let Ok(head) = core.begin_frame(MessageKind::Text, text.len() as u64, true, &mut NoKeys)
        {
            socket(&head, text.as_bytes());
            core.sent(head.len() + text.len(), 0, now);
        }
    }
}

fn measure(bench: Bench<'_>) {
    let Bench { len, packet, out, buffer, .. } = bench;
    let mut core = Connection::new(Role::Server, &CONFIG, Instant::from_millis(0));
    let mut rx = RecvBuffer::new(Fixed::new(buffer));
    count_in_place("wirelet in place", len, out, |socket| {
        wirelet(&mut core, &mut rx, black_box(packet), socket)
    });
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
