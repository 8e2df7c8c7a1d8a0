//! The protocol core alone as a server: opening handshake, frames, messages, closing, deadlines; no HTTP besides.

use core::ops::Range;

use wirelet_embedded::proto::handshake::{
    AcceptOptions, HandshakeError, HeadLimits, HeadScanner, Rejection, RequestHead, UpgradeRequest,
    WriteError,
};
use wirelet_embedded::proto::{
    Config, Connection, Event, Extensions, Fixed, Instant, MessageKind, NoKeys, RecvBuffer, Role, Spare,
    State, Status, Storage, Upgraded,
};

use crate::machine::millis;
use crate::serial::{read_now, write_now};

/// The memory of the only connection.
#[derive(Debug)]
pub struct Memory {
    rx: [u8; 2048],
    tx: [u8; 2048],
}

static CONFIG: Config = Config::new();
static SUBPROTOCOLS: [&str; 2] = ["echo", "chat"];

impl Memory {
    /// Memory that nobody uses yet.
    pub const fn new() -> Self {
        Self { rx: [0; 2048], tx: [0; 2048] }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// Serves one connection after the other, over the serial port.
pub fn serve(memory: &mut Memory) -> ! {
    loop {
        if let Some((upgraded, received)) = handshake(memory) {
            talk(memory, upgraded, received);
        }
    }
}

fn handshake(memory: &mut Memory) -> Option<(Upgraded, Range<usize>)> {
    let Memory { rx, tx } = memory;
    let mut filled = 0;
    let mut scanner = HeadScanner::new();
    let limits = HeadLimits { bytes: rx.len(), ..HeadLimits::DEFAULT };
    let len = loop {
        match scanner.scan(rx.get(..filled).unwrap_or_default(), &limits) {
            Ok(Some(len)) => break len,
            Ok(None) => filled = filled.saturating_add(read_now(rx.get_mut(filled..).unwrap_or_default())),
            Err(error) => return refuse(error, tx),
        }
    };
    match answer(rx.get(..filled).unwrap_or_default(), tx) {
        Ok((Ok(written), upgraded)) => {
            write_now(tx.get(..written).unwrap_or_default());
            Some((upgraded, len..filled))
        }
        Ok((Err(_), _)) => None,
        Err(error) => refuse(error, tx),
    }
}

type Written = Result<usize, WriteError>;

fn answer(received: &[u8], tx: &mut [u8]) -> Result<(Written, Upgraded), HandshakeError> {
    let request = UpgradeRequest::verify(RequestHead::parse(received)?)?;
    let chosen = request.select_subprotocol(&SUBPROTOCOLS);
    let subprotocol = chosen.and_then(|at| SUBPROTOCOLS.get(at).copied());
    let written = request.accept(&AcceptOptions { subprotocol, ..Default::default() }, tx);
    Ok((written, Upgraded { subprotocol: chosen.map(|at| at as u16), extensions: Extensions::NONE }))
}

fn refuse<T>(error: HandshakeError, tx: &mut [u8]) -> Option<T> {
    let written = Rejection::of(error).write(tx).unwrap_or_default();
    write_now(tx.get(..written).unwrap_or_default());
    None
}

/// `received` are the bytes behind the request.
fn talk(memory: &mut Memory, upgraded: Upgraded, received: Range<usize>) {
    let Memory { rx, tx } = memory;
    let mut core = Connection::from_upgraded(Role::Server, &CONFIG, upgraded, now());
    let mut storage = Fixed::new(&mut rx[..]);
    storage.commit(received.end);
    storage.discard_front(received.start);
    let mut rx = RecvBuffer::new(storage);
    loop {
        let status = core.advance(&mut rx, &mut NoKeys, now());
        let slot = core.poll_transmit().len();
        write_now(core.poll_transmit());
        core.transmitted(slot);
        core.sent(slot, 0, now());
        match status {
            Ok(Status::Ready(_)) => echo(&mut core, &rx, tx),
            Ok(Status::NeedInput) => {
                let n = read_now(rx.spare_mut());
                rx.commit(n);
                if core.poll_deadline().is_some_and(|deadline| deadline <= now()) {
                    let _ = core.handle_deadline(&mut NoKeys, now());
                }
            }
            Ok(Status::Closed) | Err(_) => return,
            Ok(_) => {}
        }
        if core.state() == State::Closed {
            return;
        }
    }
}

fn echo(core: &mut Connection<&'static Config>, rx: &RecvBuffer<Fixed<&mut [u8]>>, tx: &mut [u8]) {
    let (kind, payload) = match core.event(rx) {
        Event::Text(text) => (MessageKind::Text, text.as_bytes()),
        Event::Binary(bytes) => (MessageKind::Binary, bytes),
        _ => return,
    };
    if let Ok(head) = core.begin_frame(kind, payload.len() as u64, true, &mut NoKeys) {
        write_now(&head);
        let copied = core.copy_masked(payload, tx);
        write_now(tx.get(..copied).unwrap_or_default());
    }
}

fn now() -> Instant {
    Instant::from_millis(millis())
}
