//! What a connection with the extension has.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use wirelet_deflate::whole::{Effort, Encoder};
use wirelet_proto::deflate::Window;
use wirelet_proto::{
    Codec, CodecError, Compressor, Delivery, Event, Failure, Flush, Instant, Progress, RecvBuffer, Role,
    Status,
};

use super::config::{Compress, Compression, Mode};
use super::deflater::{Deflater, LEAST_ROOM};
use super::inflated::{Inflow, put_inflow, take_inflow};
use super::inflater::{Inflater, SharedInflater, Weighed};
use super::loan::Borrower;
use super::negotiation::{Dedicated, Negotiated};
use super::prepared::{Form, Prepared};
use super::traffic::{Counter, Traffic};
use crate::connection::Core;
use crate::connection::inbound::Inbound;
use crate::keys::ThreadKeys;

/// More memory than this is not kept by a thread for what it compresses next, bytes.
const KEPT: usize = 256 * 1024;
/// What is behind an empty block that begins with the bits before it (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The compressor and the decompressor of a connection that has negotiated permessage-deflate.
pub(crate) struct Deflate {
    traffic: Arc<Traffic>,
    outgoing: Outgoing,
    incoming: Incoming,
    /// What is being received is decompressed into.
    inflow: Option<Inflow>,
    /// A compressed message has begun to be decompressed.
    receiving: bool,
    /// The application does not take what was received.
    held: bool,
    /// Whether the fragmented message that is being sent is compressed.
    fragments: Option<bool>,
    /// The window of what is sent, bits.
    bits: u8,
    level: u8,
    threshold: usize,
    /// Held for its end.
    dedicated: Option<Dedicated>,
}

enum Outgoing {
    /// Nothing is compressed: the peer asks for a window that is too small.
    Nothing,
    /// By the thread's encoder.
    Shared,
    /// By the thread's encoder, after the last bytes that were sent.
    Windowed(History),
    Own(Box<Deflater>),
}

enum Incoming {
    /// Whole messages, by the thread's decompressor.
    Shared(SharedInflater),
    /// Messages that refer to earlier ones.
    Own(Box<Inflater>),
    /// Chunks.
    Borrowed(Borrower),
}

impl Deflate {
    /// For a connection that has negotiated it.
    pub(crate) fn new(negotiated: Negotiated, role: Role, delivery: Delivery) -> Box<Self> {
        let Negotiated { params, compression, dedicated } = negotiated;
        let (out, back) = (params.outgoing(role), params.incoming(role));
        Box::new(Self {
            traffic: Traffic::new(params),
            outgoing: Outgoing::new(&compression, out),
            dedicated,
            incoming: Incoming::new(back, delivery),
            inflow: None,
            receiving: false,
            held: false,
            fragments: None,
            bits: out.bits,
            level: compression.level,
            threshold: compression.threshold,
        })
    }

    /// What was agreed on, and what it has saved.
    pub(crate) const fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    // ---- in ----

    /// The core's `advance`. It pauses when `allowance` is used up: bytes that come out, and what else has cost as much.
    /// Pending while all decompressors are lent, without a context too.
    pub(crate) fn poll_advance(
        &mut self,
        core: &mut Core,
        rx: &mut RecvBuffer<Inbound>,
        allowance: &mut u32,
        now: Instant,
        mut cx: Option<&mut Context<'_>>,
    ) -> Poll<Result<Status, Failure>> {
        let Self { incoming, inflow, receiving, traffic, .. } = self;
        let inflow = inflow.get_or_insert_with(take_inflow);
        if !*receiving {
            inflow.storage_mut().prepare();
        }
        let volume = &traffic.received;
        loop {
            let keys = &mut ThreadKeys;
            let status = match incoming {
                Incoming::Shared(codec) => {
                    let codec = &mut Metered { codec, receiving, volume, allowance };
                    return Poll::Ready(core.advance_with(rx, codec, inflow, keys, now));
                }
                Incoming::Own(codec) => {
                    let codec = &mut Metered { codec: &mut **codec, receiving, volume, allowance };
                    return Poll::Ready(core.advance_with(rx, codec, inflow, keys, now));
                }
                Incoming::Borrowed(codec) => {
                    let codec = &mut Metered { codec, receiving, volume, allowance };
                    core.advance_with(rx, codec, inflow, keys, now)
                }
            };
            let Incoming::Borrowed(codec) = incoming else { return Poll::Ready(status) };
            if status != Ok(Status::Paused) || *allowance == 0 {
                return Poll::Ready(status);
            }
            // A compressed message begins, or goes on after others.
            ready!(codec.poll_permit(cx.as_deref_mut()));
        }
    }

    /// The core's `event`.
    pub(crate) fn event<'a>(&'a self, core: &Core, rx: &'a RecvBuffer<Inbound>) -> Event<'a> {
        match &self.inflow {
            Some(inflow) => core.event_with(rx, inflow),
            None => core.event(rx),
        }
    }

    /// The message or chunk that is ready, where it was compressed.
    pub(crate) fn take_message(&mut self, core: &mut Core, rx: &mut RecvBuffer<Inbound>) -> Option<Bytes> {
        core.take_message_with(rx, self.inflow.as_mut()?)
    }

    /// A message, or a chunk of one, was received as it is.
    pub(crate) fn received_plain(&self, len: usize) {
        self.traffic.received.add(len, len);
    }

    /// The application does not take what was received, or does again.
    pub(crate) const fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// The application has something of a message, and may not come back for long.
    pub(crate) fn step_aside(&mut self) {
        if let Incoming::Borrowed(codec) = &mut self.incoming {
            codec.step_aside();
        }
    }

    /// Nothing happens for a while: gives back all memory that holds nothing.
    pub(crate) fn rest(&mut self) {
        if self.held {
            self.step_aside();
        }
        let Some(inflow) = &mut self.inflow else { return };
        if inflow.is_empty() && !self.receiving {
            self.inflow.take().into_iter().for_each(put_inflow);
        } else {
            inflow.storage_mut().rest();
        }
    }

    /// The connection is over: gives up all memory. What was counted stays.
    pub(crate) fn release(&mut self) {
        self.outgoing = Outgoing::Nothing;
        self.incoming = Incoming::Shared(SharedInflater::default());
        self.receiving = false;
        self.inflow.take().into_iter().for_each(put_inflow);
        self.dedicated = None;
    }

    // ---- out ----

    /// Calls `send` with `data` as it is to be sent: compressed, or `None` for as it is. `fin` says that the message ends
    /// with it.
    pub(crate) fn compress<T>(
        &mut self,
        data: &[u8],
        fin: bool,
        asked: Compress,
        send: impl FnOnce(Option<&[u8]>) -> T,
    ) -> T {
        let begins = self.fragments.is_none();
        let wanted = self.fragments.unwrap_or_else(|| self.is_worth(data.len(), fin, asked));
        self.fragments = (!fin).then_some(wanted);
        if !wanted {
            self.traffic.sent.add(data.len(), data.len());
            return send(None);
        }
        with_scratch(|scratch| {
            self.deflate(data, fin, scratch);
            let Scratch { out, .. } = scratch;
            // What compression makes longer is sent as it is, unless some of it has been sent already.
            if begins && fin && out.len() >= data.len() && !data.is_empty() {
                self.forget();
                self.traffic.sent.add(data.len(), data.len());
                return send(None);
            }
            self.remember(data);
            self.traffic.sent.add(data.len(), out.len());
            send(Some(out))
        })
    }

    /// A whole message as it is to be sent: compressed, or `None` for as it is. `None` in all where a compressor of its own
    /// makes something of it that no other connection can use.
    pub(crate) fn prepared(&mut self, message: &Prepared, asked: Compress) -> Option<Option<Bytes>> {
        let plain = message.payload().len();
        let shared = match self.outgoing {
            Outgoing::Own(_) => return None,
            _ if !self.is_worth(plain, true, asked) => None,
            _ => message.form(Form { bits: self.bits, level: self.level }, |data| {
                with_scratch(|scratch| {
                    scratch.out.clear();
                    let effort = Effort::of_level(self.level);
                    scratch.encoder.encode(data, 0, self.bits, effort, &mut scratch.out);
                    let smaller = scratch.out.len() < data.len() || data.is_empty();
                    smaller.then(|| Bytes::copy_from_slice(&scratch.out))
                })
            }),
        };
        if shared.is_some() {
            self.remember(message.payload());
        }
        self.traffic.sent.add(plain, shared.as_ref().map_or(plain, Bytes::len));
        Some(shared)
    }

    /// Whether a message, or a fragmented one that begins, is compressed.
    const fn is_worth(&self, len: usize, fin: bool, asked: Compress) -> bool {
        let able = !matches!(self.outgoing, Outgoing::Nothing);
        able && match asked {
            Compress::Auto => !fin || len >= self.threshold,
            Compress::Always => true,
            Compress::Never => false,
        }
    }

    /// Compresses `data` into `scratch.out`.
    fn deflate(&mut self, data: &[u8], fin: bool, scratch: &mut Scratch) {
        let effort = Effort::of_level(self.level);
        let Scratch { encoder, joined, out } = scratch;
        out.clear();
        match &mut self.outgoing {
            Outgoing::Own(own) => {
                return run(&mut **own, data, if fin { Flush::Message } else { Flush::Fragment }, out);
            }
            // An empty fragment is empty; an empty message has the beginning of an empty block (RFC 7692 7.2.3.6).
            _ if data.is_empty() && !fin => return,
            Outgoing::Windowed(history) if !history.bytes.is_empty() => {
                joined.clear();
                joined.extend_from_slice(&history.bytes);
                joined.extend_from_slice(data);
                encoder.encode(joined, history.bytes.len(), self.bits, effort, out);
            }
            _ => encoder.encode(data, 0, self.bits, effort, out),
        }
        if !fin {
            out.extend_from_slice(&TAIL);
        }
    }

    /// What was compressed has been sent.
    fn remember(&mut self, data: &[u8]) {
        if let Outgoing::Windowed(history) = &mut self.outgoing {
            history.push(data);
        }
    }

    /// What was compressed is not sent: nothing may refer to it.
    fn forget(&mut self) {
        if let Outgoing::Own(own) = &mut self.outgoing {
            own.reset();
        }
    }
}

impl Outgoing {
    fn new(compression: &Compression, window: Window) -> Self {
        if !Compression::can_compress(window.bits) {
            return Self::Nothing;
        }
        match compression.mode {
            Mode::Off => Self::Nothing,
            Mode::Windowed(most) if window.takeover && most > 0 => {
                Self::Windowed(History { bytes: Vec::new(), most: usize::from(most) })
            }
            Mode::Dedicated if window.takeover => {
                Self::Own(Box::new(Deflater::new(window.bits, compression.level, compression.memory)))
            }
            Mode::Shared | Mode::Windowed(_) | Mode::Dedicated => Self::Shared,
        }
    }
}

impl Incoming {
    fn new(window: Window, delivery: Delivery) -> Self {
        match (window.takeover, delivery) {
            (true, _) => Self::Own(Box::new(Inflater::new(true))),
            (false, Delivery::Messages) => Self::Shared(SharedInflater::default()),
            (false, Delivery::Chunks) => Self::Borrowed(Borrower::default()),
        }
    }
}

/// The last bytes that were compressed.
struct History {
    bytes: Vec<u8>,
    most: usize,
}

impl History {
    fn push(&mut self, data: &[u8]) {
        let data = &data[data.len().saturating_sub(self.most)..];
        let kept = self.bytes.len().min(self.most - data.len());
        self.bytes.drain(..self.bytes.len() - kept);
        self.bytes.reserve_exact(data.len());
        self.bytes.extend_from_slice(data);
    }
}

/// A codec whose work is counted, and bounded. It notes how far a message has come.
struct Metered<'a, C> {
    codec: &'a mut C,
    receiving: &'a mut bool,
    volume: &'a Counter,
    allowance: &'a mut u32,
}

/// The most that is decompressed in one step, bytes. Why: a step cannot be interrupted.
const PIECE: usize = 2 * 1024;

impl<C: Weighed> Codec for Metered<'_, C> {
    fn decompress(&mut self, input: &[u8], output: &mut [u8], last: bool) -> Result<Progress, CodecError> {
        let piece = &input[..input.len().min(PIECE)];
        let whole = piece.len() == input.len();
        let mut progress = self.codec.decompress(piece, output, last && whole)?;
        progress.done &= whole;
        *self.receiving = !(last && progress.done);
        self.volume.add(progress.produced, progress.consumed);
        let work = u32::try_from(self.codec.take_work()).unwrap_or(u32::MAX);
        *self.allowance = self.allowance.saturating_sub(work);
        Ok(progress)
    }

    fn collects(&self) -> bool {
        self.codec.collects()
    }

    fn is_paused(&self) -> bool {
        *self.allowance == 0 || self.codec.is_paused()
    }
}

/// Appends all that comes out.
fn run(compressor: &mut impl Compressor, mut data: &[u8], flush: Flush, out: &mut Vec<u8>) {
    loop {
        let at = out.len();
        out.resize(at + data.len().max(16 * LEAST_ROOM), 0);
        let progress = compressor.compress(data, &mut out[at..], flush);
        out.truncate(at + progress.produced);
        data = &data[progress.consumed..];
        if progress.done {
            return;
        }
    }
}

/// What a thread compresses with.
struct Scratch {
    encoder: Encoder,
    /// History and message.
    joined: Vec<u8>,
    out: Vec<u8>,
}

thread_local! {
    /// Made when it is first needed.
    static SCRATCH: RefCell<Option<Box<Scratch>>> = const { RefCell::new(None) };
}

fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    let taken = SCRATCH.try_with(|scratch| scratch.borrow_mut().take()).ok().flatten();
    let mut scratch = taken.unwrap_or_else(|| {
        Box::new(Scratch { encoder: Encoder::new(), joined: Vec::new(), out: Vec::new() })
    });
    let result = work(&mut scratch);
    scratch.out.clear();
    scratch.out.shrink_to(KEPT);
    scratch.joined.clear();
    scratch.joined.shrink_to(KEPT);
    // While the thread ends it is dropped.
    let _ = SCRATCH.try_with(|place| place.replace(Some(scratch)));
    result
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wirelet_proto::deflate::Params;

    use super::*;

    fn deflate(compression: Compression) -> Box<Deflate> {
        let settings = compression.settings().unwrap();
        let params = Params { server: settings.outgoing, client: settings.incoming };
        Deflate::new(Negotiated::elsewhere(params, &compression), Role::Server, Delivery::Messages)
    }

    /// What a client with one context for the connection makes of the messages it gets.
    struct Receiver(Inflater);

    impl Receiver {
        fn receive(&mut self, message: &[u8]) -> Vec<u8> {
            let mut output = vec![0; 10_000];
            let progress = self.0.decompress(message, &mut output, true).unwrap();
            assert!(progress.done);
            output.truncate(progress.produced);
            output
        }
    }

    fn sent(deflate: &mut Deflate, data: &[u8], asked: Compress) -> Option<Vec<u8>> {
        deflate.compress(data, true, asked, |compressed| compressed.map(<[u8]>::to_vec))
    }

    fn text(n: usize) -> Vec<u8> {
        let part = |m: usize| format!("{{\"number\":{},\"of\":\"message {n}\",\"ok\":true}},", n * 37 + m);
        (0..12).map(part).collect::<String>().into_bytes()
    }

    /// Many connections of three kinds; those that compress alike share the work, those with a compressor of their own
    /// don't, and all go on afterwards.
    #[test]
    fn a_broadcast_is_compressed_once_for_all_that_compress_alike() {
        let kinds = [
            Compression::shared(),
            Compression::shared().window_bits(10),
            Compression::windowed(512),
            Compression::dedicated(15),
        ];
        let connection = |n: usize| {
            let compression = kinds[n % kinds.len()];
            (deflate(compression), Receiver(Inflater::new(compression.settings().unwrap().outgoing.takeover)))
        };
        let mut connections: Vec<_> = (0..100).map(connection).collect();
        for round in 0..3 {
            let prepared = Arc::new(Prepared::new(text(round).into()));
            for (deflate, receiver) in &mut connections {
                let own = text(1000 + round);
                let message = sent(deflate, &own, Compress::Auto).unwrap();
                assert_eq!(receiver.receive(&message), own);
                let message = match deflate.prepared(&prepared, Compress::Auto) {
                    Some(shared) => shared.unwrap().to_vec(),
                    None => sent(deflate, prepared.payload(), Compress::Auto).unwrap(),
                };
                assert_eq!(receiver.receive(&message), text(round));
            }
            // The window of 32 KiB serves `shared` and `windowed`.
            assert_eq!(prepared.compressions(), 2);
        }
    }

    #[test]
    fn what_is_short_is_sent_as_it_is_unless_it_is_asked_for() {
        let short = &text(0)[..127];
        let long = &text(0)[..128];
        for compression in [Compression::shared(), Compression::windowed(1024), Compression::dedicated(9)] {
            let mut deflate = deflate(compression);
            assert!(sent(&mut deflate, short, Compress::Auto).is_none());
            assert!(sent(&mut deflate, long, Compress::Auto).is_some());
            assert!(sent(&mut deflate, short, Compress::Always).is_some());
            assert!(sent(&mut deflate, long, Compress::Never).is_none());
            let info = deflate.traffic().info().sent;
            assert_eq!(info.plain, 127 + 128 + 127 + 128);
            assert!(info.wire < info.plain && info.wire > 127 + 128);
        }
        let all = Compression::shared().threshold(0);
        assert_eq!(sent(&mut deflate(all), b"", Compress::Auto).unwrap(), [0]);
    }

    /// A message that does not get smaller is sent as it is: then no later one may refer to it.
    #[test]
    fn what_cannot_be_compressed_is_sent_as_it_is_and_is_not_referred_to() {
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(1000)
        .collect();
        for compression in [Compression::shared(), Compression::windowed(4096), Compression::dedicated(15)] {
            let mut deflate = deflate(compression);
            let mut receiver = Receiver(Inflater::new(compression.settings().unwrap().outgoing.takeover));
            let with_noise = [&text(7)[..], &noise].concat();
            for message in [&text(1), &noise, &text(2), &noise, &with_noise] {
                match sent(&mut deflate, message, Compress::Auto) {
                    Some(compressed) => assert_eq!(&receiver.receive(&compressed), message),
                    None => assert_eq!(message, &noise),
                }
            }
        }
    }

    /// What a server of quotations sends: many names again, few numbers twice.
    fn quotes(n: usize, state: &mut u64) -> Vec<u8> {
        const NAMES: [&str; 8] =
            ["Barley", "Cobalt", "Copper", "Cotton", "Gasoil", "Nickel", "Palladium", "Wheat"];
        let mut below = |bound: u64| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            *state % bound
        };
        let mut text = format!("{{\"type\":\"quotes\",\"sequence\":{n},\"quotes\":[");
        while text.len() < 900 {
            let name = NAMES[below(8) as usize];
            let (id, price, volume, second) = (below(1 << 32), below(900_000), below(2_000_000), below(60));
            text += &format!(
                "{{\"id\":\"{id:08x}\",\"name\":\"{name}\",\"state\":\"open\",\"price\":{}.{:02},\
                 \"volume\":{volume},\"time\":\"2026-11-26T09:12:{second:02}Z\"}},",
                price / 100,
                price % 100
            );
        }
        (text + "]}").into_bytes()
    }

    /// The figures of the documentation: `cargo test -p wirelet --lib the_kept_bytes_pay -- --nocapture`.
    #[test]
    fn the_kept_bytes_pay() {
        let ratio = |name: &str, compression: Compression| {
            let (mut deflate, mut state) = (deflate(compression), 0x2545_f491_4f6c_dd1d);
            for n in 0..200 {
                assert!(sent(&mut deflate, &quotes(n, &mut state), Compress::Auto).is_some());
            }
            let ratio = deflate.traffic().info().sent.ratio().unwrap();
            println!("{name}: {ratio:.2}");
            ratio
        };
        let shared = ratio("shared", Compression::shared());
        let kept = [512, 1024, 2048, 4096]
            .map(|kept| ratio(&format!("windowed, {kept}"), Compression::windowed(kept)));
        let own = ratio("dedicated, 15 bits", Compression::dedicated(15));
        ratio("dedicated, 15 bits, level 1", Compression::dedicated(15).level(1));
        let small = ratio("dedicated, 9 bits, memory level 1", Compression::dedicated(9).memory_level(1));
        assert!(
            kept.is_sorted() && shared * 1.2 < kept[1] && kept[3] < own * 1.1,
            "{shared}, {kept:?}, {own}"
        );
        assert!(small < kept[1], "{small}");
    }

    #[test]
    fn a_window_of_256_bytes_is_not_compressed_with() {
        let params = Params { server: Window::LARGEST, client: Window::kept(8) };
        let negotiated = Negotiated::elsewhere(params, &Compression::dedicated(15));
        let mut client = Deflate::new(negotiated, Role::Client, Delivery::Messages);
        assert!(sent(&mut client, &text(1), Compress::Always).is_none());
    }

    #[test]
    fn history_keeps_the_last_bytes() {
        let mut history = History { bytes: Vec::new(), most: 8 };
        for (data, kept) in [
            ("abc", "abc"),
            ("defgh", "abcdefgh"),
            ("i", "bcdefghi"),
            ("0123456789", "23456789"),
            ("", "23456789"),
        ] {
            history.push(data.as_bytes());
            assert_eq!(history.bytes, kept.as_bytes());
        }
        assert!(history.bytes.capacity() <= 16);
    }
}
