//! Counts the retired instructions of an echoed text message, from memory to memory: `QEMU_OPTS='-icount shift=0' ./run.sh
//! …/count`. The numbers repeat exactly.

#![no_std]
#![no_main]

use core::fmt::Write;
use core::hint::black_box;
use core::ptr::write_volatile;

use wirelet_embedded::proto::{
    Config, Connection, Event, Fixed, Instant, MessageKind, NoKeys, RecvBuffer, Role, Status,
};

struct Uart;

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the transmit register of the machine's 16550.
            unsafe { write_volatile(0x1000_0000 as *mut u8, byte) }
        }
        Ok(())
    }
}

fn exit(word: u32) -> ! {
    // SAFETY: the register of the machine's test finisher.
    unsafe { write_volatile(0x0010_0000 as *mut u32, word) }
    loop {}
}

/// Instructions retired so far; enough bits for a fraction of a second.
#[inline(always)]
fn retired() -> u32 {
    let count: u32;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("csrr {0}, minstret", out(reg) count) };
    count
}

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
        *byte = (b'a' + (at % 26) as u8) ^ key[at % 4];
    }
    head + 4 + len
}

type Rx<'b> = RecvBuffer<Fixed<&'b mut [u8]>>;

/// What a driver does with a packet: takes it in, and puts the echo out. Answers the length of the echo.
#[inline(never)]
fn echo(core: &mut Connection<&'static Config>, rx: &mut Rx<'_>, packet: &[u8], out: &mut [u8]) -> usize {
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

#[riscv_rt::entry]
fn main() -> ! {
    for len in [20, 1024] {
        let (mut memory, mut packet, mut out) = ([0; 2048], [0; 1100], [0; 1100]);
        let size = frame(len, &mut packet);
        let mut core = Connection::new(Role::Server, &CONFIG, Instant::from_millis(0));
        let mut rx = RecvBuffer::new(Fixed::new(&mut memory[..]));
        let mut counts = [0; 3];
        for count in &mut counts {
            let before = retired();
            let echoed = echo(&mut core, &mut rx, black_box(&packet[..size]), &mut out);
            *count = retired().wrapping_sub(before);
            assert!(echoed == size - 4 && out[echoed - len..].starts_with(b"abcdefghijklmnopqrst"));
        }
        let before = retired();
        black_box(&mut out)[..size].copy_from_slice(black_box(&packet[..size]));
        let copy = retired().wrapping_sub(before);
        let _ = writeln!(
            Uart,
            "echo of {len} bytes: {counts:?} instructions, of which the copy into the buffer {copy}"
        );
    }
    exit(0x5555)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Uart, "{info}");
    exit(1 << 16 | 0x3333)
}
