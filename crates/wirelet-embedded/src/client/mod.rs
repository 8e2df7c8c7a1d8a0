//! The client: it connects, connects again when the connection is lost, and is sent through by every task.

mod attempt;
mod options;
mod redirect;
mod sender;

pub use attempt::{Attempt, Prepare, ServerUri, SetUriError, UriRoom};
pub use options::{Credentials, Gap, Options};
pub use redirect::RedirectError;
pub use sender::Sender;

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;

use embedded_io_async::{Error as _, ErrorKind, Read as _, Write as _};
use wirelet_proto::deflate::HeaderValue;
use wirelet_proto::handshake::{
    Answer, ClientHandshake, Field, HandshakeError, HeadLimits, ResponseHead, WriteError,
};
use wirelet_proto::{Config, Connection, Extensions, Instant, MaskKeys, Reconnect, Role, Upgraded};

use crate::Outcome;
use crate::compression::{Compression, Reservation};
use crate::counters::{Count, Counters};
use crate::events;
use crate::handler::{End, Handler};
use crate::net::{Connect, Remote, Socket};
use crate::server::{Memory, Place};
use crate::session::{Session, Surroundings};
use crate::table::{Changes, Link, Occupied, Phase, Slots, Standing, Waits};
use crate::talk::{Callbacks, Pull, Talk};
use crate::time::{Clock, before, unless_stopped};
use crate::websocket::WebSocket;
use redirect::Course;

/// The memory of a client: `RX` bytes to receive into, `TX` to send from, and `QUEUE` for what other tasks send.
///
/// Their meaning is that of a server's [`Resources`](crate::Resources). The request has to fit `TX`, the response's head
/// `RX`.
#[derive(Debug)]
pub struct ClientResources<'c, const RX: usize, const TX: usize, const QUEUE: usize> {
    slots: Slots<1, TX, QUEUE>,
    memory: Memory<'c, RX, TX>,
}

impl<const RX: usize, const TX: usize, const QUEUE: usize> ClientResources<'_, RX, TX, QUEUE> {
    /// Memory that nobody uses yet.
    pub const fn new() -> Self {
        const { assert!(RX >= 256 && TX >= 256, "a request or a control frame would not fit") }
        Self { slots: Slots::new(), memory: Memory::new() }
    }
}

impl<const RX: usize, const TX: usize, const QUEUE: usize> Default for ClientResources<'_, RX, TX, QUEUE> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a client's application learns, besides what happens on an open WebSocket.
pub trait ClientHandler: Handler {
    /// An attempt to connect begins: 1 is the first, and the first one after a stable connection.
    fn on_connecting(&self, _attempt: u32) {}

    /// The server has answered: with 101, or with the status and headers of a refusal or redirect.
    fn on_response(&self, _head: &ResponseHead<'_>) {}

    /// What the server has sent is no answer to the opening handshake ([`Failure::Handshake`] follows): all of it so far, for a log
    /// that shows its first bytes (`escape_ascii`).
    fn on_no_answer(&self, _received: &[u8]) {}

    /// An attempt has failed.
    fn on_failure(&self, _failure: &Failure) {}

    /// How long to wait before the next attempt: a policy of the application's own. `proposed` is what the options, or
    /// [`Sender::set_reconnect_delay`], say.
    fn delay(&self, proposed: Duration) -> Duration {
        proposed
    }

    /// The next attempt begins after this time. When the delay is changed meanwhile, it is told again.
    fn on_waiting(&self, _delay: Duration) {}
}

/// Nobody looks.
impl ClientHandler for () {}

/// Why an attempt to connect has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// It took longer than [`Options::connect_time`].
    Timeout,
    /// The network: no address for the name, no route, refused, reset.
    Network(ErrorKind),
    /// The server ended the stream before its answer was complete.
    EndOfStream,
    /// The server's answer breaks the rules of the handshake.
    Handshake(HandshakeError),
    /// The server refused with this HTTP status.
    Refused(u16),
    /// The server sent the client elsewhere, and it did not go.
    Redirect(RedirectError),
    /// The caller's options must not be sent, or don't fit the transmit buffer.
    Request(WriteError),
}

/// Why a client has stopped trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finished {
    /// [`Sender::stop`].
    Stopped,
    /// The connection was closed, or lost, and [`Options`] say not to connect again.
    Ended(End),
    /// The last of the attempts that [`Options::reconnect`] allows has failed.
    GaveUp(Failure),
    /// The caller's options must not be sent: trying again would not change that.
    Request(WriteError),
    /// The server refused with a status that repeating does not change, and the policy says to respect that.
    Refused(u16),
}

/// A client.
pub struct Client<'r, 'c, const RX: usize, const TX: usize> {
    link: Link<'r>,
    memory: &'r mut Memory<'c, RX, TX>,
    options: &'c Options<'c>,
    compression: Option<Compression<'r>>,
    /// Of the connection that is open or attempted.
    lane: Option<Reservation<'r>>,
    /// How long the server that has refused the last attempt asks to be left alone, milliseconds.
    retry_after: u32,
}

impl<'r, 'c, const RX: usize, const TX: usize> Client<'r, 'c, RX, TX> {
    /// A client in `resources`, and what all tasks send through, over all its connections.
    pub fn new<const QUEUE: usize>(
        resources: &'r mut ClientResources<'c, RX, TX, QUEUE>,
        options: &'c Options<'c>,
    ) -> (Self, Sender<'r>) {
        let ClientResources { slots, memory } = resources;
        *slots = Slots::new();
        let table: &'r Slots<1, TX, QUEUE> = slots;
        let link = Link { table, index: 0 };
        link.with(|slot, _| {
            slot.keep = options.gap.keep;
            slot.waits = Waits::Never(Changes::default());
        });
        let client = Self { link, memory, options, compression: None, lane: None, retry_after: 0 };
        (client, Sender::new(table, options))
    }

    /// With memory for compression, which is then offered to servers.
    pub fn with_compression(mut self, compression: Compression<'r>) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Connects, and connects again, until there is a reason to stop: by default only [`Sender::stop`]. Called again, it
    /// connects again.
    ///
    /// `keys` mask what is sent and make each handshake unpredictable: a CSPRNG, or the hardware's random source. `Csprng`
    /// (feature `rand_core`) takes only what says so by its type.
    ///
    /// # Cancel safety
    /// Dropping it ends the connection without a closing handshake; the handler's `on_close` is called. It may be called
    /// again.
    pub fn run<N: Connect, C: Clock, K: MaskKeys>(
        &mut self,
        network: &mut N,
        clock: &C,
        keys: &mut K,
        handler: &dyn ClientHandler,
    ) -> impl Future<Output = Finished> {
        self.connect(network, clock, keys, handler, Callbacks)
    }

    /// As [`run`](Self::run), with an async function for each open WebSocket. When it returns, the connection is closed, as if
    /// a task had: whether another one follows is for [`Options::connect_after_close`] to say.
    ///
    /// `handler` is told what it always is, but for events: those are the function's. `&()` is one that does not listen.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run); the function's future is dropped as well.
    pub async fn run_with<N: Connect, C: Clock, K: MaskKeys, O: Outcome>(
        &mut self,
        network: &mut N,
        clock: &C,
        keys: &mut K,
        handler: &dyn ClientHandler,
        function: impl AsyncFn(WebSocket<'_>) -> O,
    ) -> Finished {
        self.connect(network, clock, keys, handler, Pull(&function)).await
    }

    async fn connect<N: Connect, C: Clock, K: MaskKeys, T: Talk>(
        &mut self,
        network: &mut N,
        clock: &C,
        keys: &mut K,
        handler: &dyn ClientHandler,
        talk: T,
    ) -> Finished {
        self.link.with(|slot, _| slot.stand(Standing::Running));
        let mut policy = Reconnect::new(self.options.reconnect);
        let finished = loop {
            // Who has no network has not failed.
            if unless_stopped(self.link, pin!(network.available())).await.is_none() {
                break Finished::Stopped;
            }
            let outcome = self.attempt(network, clock, keys, handler, &mut policy, talk).await;
            // Who else shares the memory for compression may have it meanwhile.
            self.lane = None;
            let failure = match outcome {
                Ending::Stopped => break Finished::Stopped,
                Ending::Ended(_) if self.link.stopped() => break Finished::Stopped,
                Ending::Ended(end) if !self.connects_after(&end) => break Finished::Ended(end),
                Ending::Ended(_) => None,
                Ending::Failed(Failure::Request(error)) => break Finished::Request(error),
                Ending::Failed(Failure::Refused(status)) if !policy.is_worth_retrying(status) => {
                    break Finished::Refused(status);
                }
                Ending::Failed(failure) => Some(failure),
            };
            policy.disconnected(clock.now().as_millis());
            let random = u32::from_ne_bytes(keys.next_key());
            let Some(delay) = policy.next_delay_after(self.retry_after.into(), random) else {
                break Finished::GaveUp(failure.unwrap_or(Failure::EndOfStream));
            };
            let since = clock.now();
            let asked = Duration::from_millis(self.retry_after.min(self.options.reconnect.cap).into());
            let rested = loop {
                let fixed = self.link.with(|slot, _| slot.changes().delay).filter(|delay| *delay > 0);
                let fixed = fixed.map(|delay| Duration::from_millis(delay.into()));
                let fixed = fixed.or(self.options.delay);
                // RFC 9110 10.2.3: a server that has asked for more is left alone for longer.
                let proposed = fixed.map_or(Duration::from_millis(delay), |fixed| fixed.max(asked));
                let delay = handler.delay(proposed);
                handler.on_waiting(delay);
                let alarm = pin!(clock.wait_until(since.plus(delay)));
                match self.rest(alarm, pin!(network.restored())).await {
                    Some(Standing::Changed) => {}
                    rested => break rested,
                }
            };
            if rested.is_none() {
                break Finished::Stopped;
            }
        };
        self.link.returned();
        finished
    }

    /// Waits for the next attempt: for its time, or until the network is back, [`Sender::retry_now`] asks for it, or the delay
    /// [has changed](Standing::Changed). `None` when the client is told to stop.
    async fn rest<A: Future, B: Future>(
        &self,
        mut alarm: Pin<&mut A>,
        mut restored: Pin<&mut B>,
    ) -> Option<Standing> {
        let link = self.link;
        link.with(|slot, _| slot.standing = Standing::Waiting);
        let over = poll_fn(|cx| {
            let standing = link.with(|slot, _| slot.standing).unwrap_or_default();
            let over = alarm.as_mut().poll(cx).is_ready() || restored.as_mut().poll(cx).is_ready();
            if over || standing != Standing::Waiting { Poll::Ready(standing) } else { Poll::Pending }
        });
        let rested = unless_stopped(link, pin!(over)).await;
        link.with(|slot, _| slot.standing = Standing::Running);
        rested
    }

    fn connects_after(&self, end: &End) -> bool {
        if end.is_orderly() { self.options.connect_after_close } else { self.options.connect_after_loss }
    }

    /// One connection from its beginning to its end, with the redirects that it takes.
    #[expect(clippy::manual_async_fn, reason = "the future of an async function holds its arguments twice")]
    fn attempt<N: Connect, C: Clock>(
        &mut self,
        network: &mut N,
        clock: &C,
        keys: &mut dyn MaskKeys,
        handler: &dyn ClientHandler,
        policy: &mut Reconnect,
        talk: impl Talk,
    ) -> impl Future<Output = Ending> {
        async move {
            let number = policy.attempts().saturating_add(1);
            handler.on_connecting(number);
            Counters::count(self.options.counters, Count::Connection, 1);
            self.retry_after = 0;
            let deadline = clock.now().plus(self.options.connect_time);
            let Some(mut course) = self.prepared(number) else {
                return self.failed(handler, Failure::Request(WriteError::Invalid(Field::HeaderValue)));
            };
            loop {
                // Statements of their own: what a `match` looks at would be kept, in RAM, until its end.
                let dialed = self.dial(network, clock, deadline, course).await;
                let mut socket = match dialed {
                    Some(Ok(socket)) => socket,
                    Some(Err(failure)) => return self.failed(handler, failure),
                    None => return Ending::Stopped,
                };
                let _occupied = Occupied::new(self.link);
                // Of the connection before a redirect.
                self.lane = None;
                self.lane = self.compression.and_then(Compression::reserve);
                let handshake = self.handshake(&mut socket, keys, handler, course);
                let handshake = before(clock, deadline, pin!(handshake)).await;
                let agreed = match handshake {
                    Some(Some(Ok(Answered::Open(agreed)))) => agreed,
                    Some(Some(Ok(Answered::Moved(next)))) => {
                        course = next;
                        continue;
                    }
                    Some(Some(Err(failure))) => return self.failed(handler, failure),
                    Some(None) => return Ending::Stopped,
                    None => return self.failed(handler, Failure::Timeout),
                };
                policy.connected(clock.now().as_millis());
                return Ending::Ended(self.talk(&mut socket, clock, keys, handler, agreed, talk).await);
            }
        }
    }

    /// Where the next attempt goes, and what its request says besides the options; `None` when that must not be sent.
    fn prepared(&mut self, number: u32) -> Option<Course> {
        let mut course = Course::new(self.options.redirects);
        let Memory { rx, tx, .. } = &mut *self.memory;
        if let Some(server) = self.options.server {
            let most = tx.len().min(RX / 4);
            course.kept = server.copy(tx.get_mut(..most).unwrap_or_default());
            let to = rx.get_mut(course.room(RX)..).unwrap_or_default();
            to.copy_from_slice(tx.get(..course.kept).unwrap_or_default());
        }
        match self.options.prepare {
            Some(prepare) => (prepare.ask)(prepare, number, course, rx, tx),
            None => Some(course),
        }
    }

    fn failed(&self, handler: &dyn ClientHandler, failure: Failure) -> Ending {
        Counters::count(self.options.counters, Count::Failed, 1);
        events::failed(&failure);
        handler.on_failure(&failure);
        Ending::Failed(failure)
    }

    /// A socket; `None` when the client is told to stop.
    async fn dial<'n, N: Connect, C: Clock>(
        &self,
        network: &'n mut N,
        clock: &C,
        deadline: Instant,
        course: Course,
    ) -> Option<Result<N::Socket<'n>, Failure>> {
        let kept = self.memory.rx.get(course.room(RX)..).unwrap_or_default();
        let uri = course.uri(kept).unwrap_or(self.options.uri);
        let to = Remote { host: uri.host_name(), port: uri.port(), secure: uri.is_secure() };
        let connect = pin!(network.connect(to));
        let connected = unless_stopped(self.link, pin!(before(clock, deadline, connect))).await?;
        Some(match connected {
            Some(connected) => connected.map_err(|error| Failure::Network(error.kind())),
            None => Err(Failure::Timeout),
        })
    }

    /// The opening handshake; answers what was agreed on, and how many bytes of frames came with the response, or where
    /// to go instead.
    /// `None` when the client is told to stop.
    async fn handshake<S: Socket>(
        &mut self,
        socket: &mut S,
        keys: &mut dyn MaskKeys,
        handler: &dyn ClientHandler,
        course: Course,
    ) -> Option<Result<Answered, Failure>> {
        let nonce = nonce(keys);
        let (mut reader, mut writer) = socket.split();
        let room = course.room(RX);
        let deflate = self.lane.as_ref().map(Reservation::settings);
        let Memory { rx, tx, .. } = &mut *self.memory;
        let kept = rx.get(room..).unwrap_or_default();
        let len = match self.options.write_request(course, kept, deflate, nonce, tx) {
            Ok(len) => len,
            Err(error) => return Some(Err(Failure::Request(error))),
        };
        let request = self.memory.tx.get(..len).unwrap_or_default();
        if let Err(error) = unless_stopped(self.link, pin!(writer.write_all(request))).await? {
            return Some(Err(Failure::Network(error.kind())));
        }
        let mut filled = 0;
        loop {
            match self.answer(nonce, filled, handler, course) {
                Ok(None) => {}
                Ok(Some(answered)) => return Some(Ok(answered)),
                Err(failure) => return Some(Err(failure)),
            }
            let read = pin!(reader.read(self.memory.rx.get_mut(filled..room).unwrap_or_default()));
            match unless_stopped(self.link, read).await? {
                Ok(0) => return Some(Err(Failure::EndOfStream)),
                Ok(n) => filled = filled.saturating_add(n),
                Err(error) => return Some(Err(Failure::Network(error.kind()))),
            }
        }
    }

    /// Looks at the first `filled` bytes of the receive buffer; frames behind the response move to its front.
    fn answer(
        &mut self,
        nonce: [u8; 16],
        filled: usize,
        handler: &dyn ClientHandler,
        course: Course,
    ) -> Result<Option<Answered>, Failure> {
        let room = course.room(RX);
        let limits = HeadLimits { bytes: room, ..HeadLimits::DEFAULT };
        let Memory { rx, tx, .. } = &mut *self.memory;
        let (received, kept) = rx.split_at_mut_checked(room).unwrap_or_default();
        let received = received.get_mut(..filled).unwrap_or_default();
        let here = course.uri(kept).unwrap_or(self.options.uri);
        // A new reader for each read: the head is small, and nothing but the nonce has to be remembered.
        let deflate = self.lane.as_ref().map(Reservation::settings);
        let offer = deflate.map(|settings| settings.offer());
        let mut request = self.options.request(&here, &[], None);
        request.extensions = offer.as_ref().map(HeaderValue::as_str);
        let mut handshake = ClientHandshake::new(nonce, request);
        let answer = match handshake.read_response(received, &limits) {
            Ok(answer) => answer,
            Err(error) => {
                handler.on_no_answer(rx.get(..filled).unwrap_or_default());
                return Err(Failure::Handshake(error));
            }
        };
        match answer {
            None => Ok(None),
            Some(Answer::Refused(refusal)) => {
                handler.on_response(refusal.head());
                let Some(location) = refusal.location().filter(|_| self.options.redirects > 0) else {
                    let time = refusal.head().retry_after().unwrap_or_default().as_millis();
                    self.retry_after = time.try_into().unwrap_or(u32::MAX);
                    return Err(Failure::Refused(refusal.head().status()));
                };
                let next = course.redirected(&here, location, tx, RX / 2).map_err(Failure::Redirect)?;
                let end = RX.saturating_sub(next.headers);
                let to = rx.get_mut(next.room(RX)..end).unwrap_or_default();
                to.copy_from_slice(tx.get(..next.kept).unwrap_or_default());
                Ok(Some(Answered::Moved(next)))
            }
            Some(Answer::Accepted(accepted)) => {
                handler.on_response(accepted.head());
                let position = |name| self.options.subprotocols.iter().position(|offered| *offered == name);
                let subprotocol = accepted.subprotocol().and_then(position).and_then(|at| at.try_into().ok());
                let mut extensions = Extensions::NONE;
                if let Some(settings) = deflate {
                    let checked = settings.check(accepted.extensions());
                    extensions.deflate = checked.map_err(Failure::Handshake)?;
                }
                let len = accepted.len();
                rx.copy_within(len.min(filled)..filled, 0);
                let upgraded = Upgraded { subprotocol, extensions };
                Ok(Some(Answered::Open((upgraded, filled.saturating_sub(len)))))
            }
        }
    }

    /// The open WebSocket.
    #[expect(clippy::manual_async_fn, reason = "the future of an async function holds its arguments twice")]
    fn talk<S: Socket, C: Clock>(
        &mut self,
        socket: &mut S,
        clock: &C,
        keys: &mut dyn MaskKeys,
        handler: &dyn ClientHandler,
        (upgraded, received): (Upgraded, usize),
        talk: impl Talk,
    ) -> impl Future<Output = End> {
        async move {
            let now = clock.now();
            if upgraded.extensions.deflate.is_none() {
                // Who else shares the memory for compression may have it.
                self.lane = None;
            }
            let Memory { rx, tx, core } = &mut *self.memory;
            let config: &'c Config = &self.options.config;
            *core = Place::Taken(Connection::from_upgraded(Role::Client, config, upgraded, now));
            let Some(core) = core.get() else { return End::dropped() };
            self.link.with(|slot, _| {
                slot.subprotocol = upgraded.subprotocol;
                slot.overflow = self.options.overflow;
                slot.compressed = upgraded.extensions.deflate.is_some();
                slot.enter(Phase::Open);
            });
            let id = self.link.id();
            let (rx, tx) = ((&mut rx[..], received), (&mut tx[..], 0));
            let mut session = Session::begin(core, rx, tx, self.lane.as_mut(), keys, id);
            let closing_time = &config.limits.closing_time;
            let counters = self.options.counters;
            let around = Surroundings { link: self.link, clock, handler, closing_time, counters };
            events::opened(id, "");
            talk.talk(&mut session, socket, &around, Some("")).await
        }
    }
}

/// What became of one attempt.
enum Ending {
    Stopped,
    Failed(Failure),
    Ended(End),
}

/// What became of one opening handshake.
enum Answered {
    /// What was agreed on, and how many bytes of frames came with the response.
    Open((Upgraded, usize)),
    Moved(Course),
}

/// RFC 6455 4.1: 16 random bytes.
fn nonce(keys: &mut dyn MaskKeys) -> [u8; 16] {
    let mut nonce = [0; 16];
    for four in nonce.chunks_mut(4) {
        four.copy_from_slice(&keys.next_key());
    }
    nonce
}

impl<const RX: usize, const TX: usize> core::fmt::Debug for Client<'_, '_, RX, TX> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Client").field("options", &self.options).finish_non_exhaustive()
    }
}
