//! What an async function and the loop of its connection share: a body that arrives, and a response that leaves.
//!
//! Both are in one task, and neither uses it while the other does. The function moves bytes between its own memory and the buffers,
//! the loop ([`serve`](crate::server)) between the buffers and the socket.

use core::cell::{RefCell, RefMut};
use core::task::{Context, Poll, Waker};

use super::body::{Body, Framing};
use super::exchange::{Error, Reply};
use super::response::{Cursor, Head};

/// What stands in front of a chunk: four digits and a line end.
const CHUNK_HEAD: usize = 6;
/// A line end behind it.
const CHUNK_END: usize = 2;
/// The largest size of four digits.
const CHUNK_MOST: usize = 0xffff;
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// RFC 9110 10.1.1.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The state of an exchange.
pub(crate) struct Transfer<'t>(RefCell<State<'t>>);

/// What is known of a request before its function begins.
pub(crate) struct Begin<'t> {
    pub(crate) framing: Framing,
    /// The largest body, bytes.
    pub(crate) most: u64,
    /// The peer waits for leave to send the body.
    pub(crate) expects: bool,
    /// The connection may be kept for another request.
    pub(crate) keep: bool,
    /// It is a request for a head.
    pub(crate) bodiless: bool,
    /// It is one of HTTP/1.1, which knows chunks.
    pub(crate) chunks: bool,
    /// Header lines that belong to every response.
    pub(crate) lines: &'t str,
}

pub(crate) struct State<'t> {
    begin: Begin<'t>,
    pub(crate) rx: Received<'t>,
    pub(crate) tx: Output<'t>,
    form: Form,
    /// Why no more of the body can be read.
    failure: Option<Error>,
    /// The peer is gone, or is given up.
    gone: bool,
    /// The function waits with this waker.
    waiting: Option<Waker>,
}

/// The body as far as it has arrived.
pub(crate) struct Received<'t> {
    /// Not while the loop reads into it.
    pub(crate) buffer: &'t mut [u8],
    /// What has not been taken stands here.
    pub(crate) from: usize,
    pub(crate) filled: usize,
    body: Body,
    /// The peer sends nothing more.
    pub(crate) ended: bool,
    /// The function waits for more.
    pub(crate) wanted: bool,
}

/// The response as far as it has not left.
pub(crate) struct Output<'t> {
    /// Not while the loop writes from it.
    pub(crate) buffer: &'t mut [u8],
    pub(crate) sent: usize,
    pub(crate) len: usize,
    /// Where the chunk begins that may still grow.
    chunk: Option<usize>,
}

/// How the body of the response is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// There is no response yet.
    None,
    /// It has no body.
    Bodiless,
    /// So many bytes are to come.
    Length(usize),
    Chunks,
    /// Up to the end of the connection.
    Rest,
    /// All is said.
    Over,
}

impl<'t> Transfer<'t> {
    /// Of a request whose head was received, and `filled` bytes of what follows, at the front of `rx`.
    pub(crate) const fn new(begin: Begin<'t>, rx: &'t mut [u8], filled: usize, tx: &'t mut [u8]) -> Self {
        let body = Body::new(begin.framing);
        Self(RefCell::new(State {
            begin,
            rx: Received { buffer: rx, from: 0, filled, body, ended: false, wanted: false },
            tx: Output { buffer: tx, sent: 0, len: 0, chunk: None },
            form: Form::None,
            failure: None,
            gone: false,
            waiting: None,
        }))
    }

    /// For the loop, between two turns of the function.
    pub(crate) fn state(&self) -> RefMut<'_, State<'t>> {
        self.0.borrow_mut()
    }

    pub(super) fn poll_read(&self, cx: &Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Error>> {
        let state = &mut *self.0.borrow_mut();
        state.rx.wanted = false;
        if state.gone {
            return Poll::Ready(Err(Error::Gone));
        }
        if let Some(failure) = state.failure {
            return Poll::Ready(Err(failure));
        }
        match state.rx.take(into) {
            Err(error) => return Poll::Ready(Err(state.fail(error))),
            Ok(0) if into.is_empty() || state.rx.body.is_done() => return Poll::Ready(Ok(0)),
            Ok(0) => {}
            Ok(n) => {
                state.begin.expects = false;
                // What was announced was compared before.
                let Some(most) = state.begin.most.checked_sub(n as u64) else {
                    return Poll::Ready(Err(state.fail(Error::TooLarge)));
                };
                state.begin.most = most;
                return Poll::Ready(Ok(n));
            }
        }
        if state.rx.ended {
            state.gone = true;
            return Poll::Ready(Err(Error::Gone));
        }
        state.rx.wanted = true;
        // RFC 9110 10.1.1: not behind a final response.
        if state.begin.expects && state.form == Form::None {
            state.begin.expects = false;
            state.tx.append(CONTINUE);
        }
        state.wait(cx)
    }

    /// Has the response without one of its own say why the body was not read.
    pub(super) fn refuse(&self, error: Error) -> Error {
        self.0.borrow_mut().fail(error)
    }

    pub(super) fn poll_start(&self, cx: &Context<'_>, reply: &Reply<'_>) -> Poll<Result<(), Error>> {
        let state = &mut *self.0.borrow_mut();
        if state.gone {
            return Poll::Ready(Err(Error::Gone));
        }
        if state.form != Form::None || !(200..=999).contains(&reply.status) {
            return Poll::Ready(Err(Error::Misuse));
        }
        // An interim response is in front of it.
        if !state.tx.is_empty() {
            return state.wait(cx);
        }
        Poll::Ready(state.start(reply))
    }

    pub(super) fn poll_write(&self, cx: &Context<'_>, rest: &mut &[u8]) -> Poll<Result<(), Error>> {
        let state = &mut *self.0.borrow_mut();
        if state.gone {
            return Poll::Ready(Err(Error::Gone));
        }
        let n = match state.form {
            Form::None | Form::Over => return Poll::Ready(Err(Error::Misuse)),
            Form::Length(left) if rest.len() > left => return Poll::Ready(Err(Error::Misuse)),
            Form::Bodiless => rest.len(),
            Form::Chunks => state.tx.append_to_chunk(rest),
            Form::Length(_) | Form::Rest => state.tx.append(rest),
        };
        if let Form::Length(left) = &mut state.form {
            *left = left.saturating_sub(n);
        }
        *rest = rest.get(n..).unwrap_or_default();
        if rest.is_empty() { Poll::Ready(Ok(())) } else { state.wait(cx) }
    }

    pub(super) fn poll_flush(&self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        let state = &mut *self.0.borrow_mut();
        if state.gone {
            Poll::Ready(Err(Error::Gone))
        } else if state.tx.is_empty() {
            Poll::Ready(Ok(()))
        } else {
            state.wait(cx)
        }
    }
}

impl State<'_> {
    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Wakes the function where it waits with a waker of its own.
    pub(crate) fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// No more of the body will be read.
    pub(crate) fn fail(&mut self, error: Error) -> Error {
        *self.failure.get_or_insert(error)
    }

    /// The peer is gone.
    pub(crate) fn lose(&mut self) {
        self.gone = true;
        self.wake();
    }

    pub(crate) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// The connection is kept for another request.
    pub(crate) const fn keeps(&self) -> bool {
        self.begin.keep
    }

    fn start(&mut self, reply: &Reply<'_>) -> Result<(), Error> {
        // RFC 9110 6.4.1: these have no content.
        let content = !matches!(reply.status, 204 | 304);
        // Whatever is left of the body stands where the next request would begin.
        self.begin.keep &= self.rx.body.is_done();
        let chunks = content && reply.len.is_none() && self.begin.chunks;
        // RFC 9112 6.3: without length and chunks the body ends with the connection.
        self.begin.keep &= !content || reply.len.is_some() || chunks;
        let head = Head {
            status: reply.status,
            content_type: Some(reply.content_type).filter(|value| content && !value.is_empty()),
            len: reply.len.filter(|_| content),
            keep: self.begin.keep,
        };
        let mut out = Cursor::new(&mut *self.tx.buffer);
        let lines = if chunks { "Transfer-Encoding: chunked\r\n" } else { "" };
        if !head.write_with(&[lines, self.begin.lines], reply.headers, &mut out) {
            return Err(Error::Head);
        }
        let len = out.finish().ok_or(Error::Head)?;
        (self.tx.sent, self.tx.len) = (0, len);
        self.form = match reply.len {
            _ if !content || self.begin.bodiless => Form::Bodiless,
            Some(len) => Form::Length(len),
            None if chunks => Form::Chunks,
            None => Form::Rest,
        };
        Ok(())
    }

    /// The function is over: how a request is refused that it has not answered.
    pub(crate) fn over(&mut self, well: bool) -> Option<(u16, &'static str)> {
        match self.form {
            Form::None if well && self.failure.is_none() => {
                let _ = self.start(&Reply::new(204, ""));
            }
            Form::None => {
                self.begin.keep &= self.rx.body.is_done();
                let failure = self.failure.map(|failure| (failure.status(), failure.text()));
                return failure.or(Some((500, "the application has failed")));
            }
            // What is cut off must not look as if it were whole.
            Form::Length(1..) => self.begin.keep = false,
            Form::Chunks | Form::Rest if !well => (self.begin.keep, self.form) = (false, Form::Over),
            _ => {}
        }
        None
    }

    /// What was written may leave; of an exchange that is `over` also what ends it. Answers whether that is all.
    pub(crate) fn seal(&mut self, over: bool) -> bool {
        self.tx.seal();
        if over && self.form == Form::Chunks && self.tx.append_whole(LAST_CHUNK) {
            self.form = Form::Over;
        }
        over && self.form != Form::Chunks && self.tx.is_empty()
    }
}

impl Received<'_> {
    /// Takes what has arrived of the body.
    fn take(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        let arrived = self.buffer.get(self.from..self.filled).unwrap_or_default();
        let (used, made) = self.body.take(arrived, into).map_err(|_| Error::Malformed)?;
        self.from = self.from.saturating_add(used);
        Ok(made)
    }

    /// Makes room behind what has not been taken; all of that may be `thrown` away.
    pub(crate) fn make_room(&mut self, thrown: bool) {
        if thrown || self.from == self.filled {
            (self.from, self.filled) = (0, 0);
        } else if self.filled == self.buffer.len() {
            self.buffer.copy_within(self.from..self.filled, 0);
            self.filled = self.filled.saturating_sub(self.from);
            self.from = 0;
        }
    }
}

impl Output<'_> {
    const fn is_empty(&self) -> bool {
        self.sent == self.len
    }

    /// The network stack has taken `n` bytes.
    pub(crate) const fn took(&mut self, n: usize) {
        self.sent = self.sent.saturating_add(n);
        if self.sent >= self.len {
            (self.sent, self.len) = (0, 0);
        }
    }

    /// Appends as much as there is room for; answers how much.
    fn append(&mut self, bytes: &[u8]) -> usize {
        let room = self.buffer.get_mut(self.len..).unwrap_or_default();
        let n = bytes.len().min(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..n), bytes.get(..n)) {
            to.copy_from_slice(from);
        }
        self.len = self.len.saturating_add(n);
        n
    }

    /// Appends all or nothing.
    fn append_whole(&mut self, bytes: &[u8]) -> bool {
        let fits = self.buffer.len().saturating_sub(self.len) >= bytes.len();
        fits && self.append(bytes) == bytes.len()
    }

    /// Appends to the chunk that may still grow, or to a new one, as much as there is room for.
    fn append_to_chunk(&mut self, bytes: &[u8]) -> usize {
        let room = self.buffer.len().saturating_sub(self.len).saturating_sub(CHUNK_END);
        let room = match self.chunk {
            Some(at) => {
                room.min(at.saturating_add(CHUNK_HEAD).saturating_add(CHUNK_MOST).saturating_sub(self.len))
            }
            None => room.saturating_sub(CHUNK_HEAD).min(CHUNK_MOST),
        };
        let bytes = bytes.get(..room).unwrap_or(bytes);
        if !bytes.is_empty() && self.chunk.is_none() {
            self.chunk = Some(self.len);
            self.len = self.len.saturating_add(CHUNK_HEAD);
        }
        self.append(bytes)
    }

    /// RFC 9112 7.1: the size of a chunk that will not grow any more, and its end.
    fn seal(&mut self) {
        let Some(at) = self.chunk.take() else { return };
        let size = self.len.saturating_sub(at).saturating_sub(CHUNK_HEAD);
        let digit = |shift: u32| {
            let digit = (size >> shift & 15) as u8;
            if digit < 10 { b'0' | digit } else { (b'a' - 10).wrapping_add(digit) }
        };
        let head = [digit(12), digit(8), digit(4), digit(0), b'\r', b'\n'];
        if let Some(to) = self.buffer.get_mut(at..at.saturating_add(CHUNK_HEAD)) {
            to.copy_from_slice(&head);
        }
        self.append(b"\r\n");
    }
}
