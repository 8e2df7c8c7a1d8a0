//! What was sent, what has arrived, how it ended: the accounts of one case, and what must be true of them.
//!
//! Both directions are numbered. A message that the end under test has taken must arrive once, whole and in the order of
//! its source, and none may be missing before one that came later, unless it was dropped by a policy that says so. What
//! the peer has sent must be received in order, completely before the end is told, and the end must be told once and be the right one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Link, Pulse, numbered};

/// The accounts; all that runs in a case shares them.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Mutex<Books>>);

#[derive(Debug)]
struct Books {
    pulse: Pulse,
    link: Link,
    times: Times,
    /// By number.
    sent: Vec<Sent>,
    /// By number.
    received: Vec<Received>,
    next: usize,
    /// Bytes that the application has of a message that comes in chunks.
    chunks: Vec<u8>,
    begun: bool,
    facts: [Option<(u64, u64)>; FACTS],
    /// Counts what was taken.
    events: u64,
    close_code: Option<u16>,
    /// Where the close stands among what was taken.
    closed_at: u64,
    close_end: Option<u64>,
    illegal_at: Option<u64>,
    told: Option<End>,
    drops: bool,
    /// Receiving operations that wait.
    receiving: usize,
    /// Operations of a connection that wait, those included.
    operating: usize,
    sleeping: usize,
    fragmenting: usize,
    /// When an operation has last ended, milliseconds.
    operated: u64,
    failure: Option<String>,
}

/// The limits that the case has, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The shortest silence after which a connection may be given up for it: the pong's.
    pub pong: u64,
    /// The shortest time in which a peer must take something.
    pub stalled: u64,
    /// The closing handshake's.
    pub closing: u64,
    /// The shortest time after the beginning at which any of them may end the connection.
    pub earliest: u64,
    /// What was received is delivered before a deadline is told, and what lies in a transport that has failed, whether
    /// there is room for an answer or not.
    pub delivers: bool,
}

/// The default of `Limits::message_time`, milliseconds.
const MESSAGE_TIME: u64 = 60_000;

/// The default of `Limits::fragment_time`, milliseconds.
const FRAGMENT_TIME: u64 = 60_000;

/// When it is looked at for the first time whether a peer is too slow, milliseconds.
const SLOW_AFTER: u64 = 600_000;

/// A message of the end under test.
#[derive(Debug)]
struct Sent {
    source: usize,
    size: usize,
    text: bool,
    fate: Fate,
    /// A policy may drop it.
    droppable: bool,
    /// Messages that `flush` speaks of.
    direct: bool,
    /// When it was taken, by the count of events.
    taken: u64,
    arrived: bool,
}

/// What the end under test has said about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing: the operation was cancelled, has failed or has not ended.
    Unknown,
    /// It was taken, to leave with others.
    Fed,
    /// It was taken.
    Accepted,
    /// It was handed to the transport.
    Written,
    /// It came back.
    Refused,
}

/// A message of the peer.
#[derive(Debug)]
struct Received {
    size: usize,
    text: bool,
    /// Where its last byte stands in all that the peer sends.
    end: Option<u64>,
}

/// Something that has an effect on what must be true; its first time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The end under test has begun the closing handshake.
    Closes,
    /// It has failed the connection: a dropped fragment, a receiver that is too slow.
    Fails,
    /// Its task was aborted.
    Aborted,
    /// The whole server or client stops: one limit holds whatever is queued.
    Stops,
    /// The application has dropped the connection.
    Dropped,
    /// The application does not want what arrives.
    Discards,
    /// The peer has sent a close frame of its own accord.
    PeerCloses,
    /// The peer has ended its direction.
    PeerEnds,
    /// The peer has reset the connection.
    PeerResets,
    /// The peer breaks the protocol.
    PeerErrs,
    /// The peer has a close frame.
    CloseSeen,
    /// The peer has read the end of the stream.
    EndSeen,
    /// The peer does nothing any more.
    PeerIsDone,
}

const FACTS: usize = Fact::PeerIsDone as usize + 1;

/// How the application was told that the connection has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Closed.
    Clean,
    /// Without a close frame.
    Abnormal,
    /// The transport's error.
    Io,
    /// A deadline, by its name.
    Timeout(String),
    /// The peer broke the protocol or went over a limit.
    Peer,
    /// What should not be told.
    Other(String),
}

/// An operation that waits, until it is dropped.
#[derive(Debug)]
pub struct Operating(Ledger, Kind);

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Receives.
    Receive,
    /// Another operation that moves the connection.
    Operate,
    /// Time.
    Sleep,
    /// Nothing: a fragmented message has begun.
    Fragments,
}

impl Kind {
    const fn count(self, books: &mut Books) -> &mut usize {
        match self {
            Self::Receive => &mut books.receiving,
            Self::Operate => &mut books.operating,
            Self::Sleep => &mut books.sleeping,
            Self::Fragments => &mut books.fragmenting,
        }
    }
}

impl Drop for Operating {
    fn drop(&mut self) {
        let mut books = self.0.lock();
        *self.1.count(&mut books) -= 1;
        books.operated = books.pulse.now();
        books.pulse.moves();
    }
}

impl Ledger {
    /// `drops`: a full queue may drop messages of queued sources.
    pub fn new(pulse: Pulse, link: Link, times: Times, drops: bool) -> Self {
        Self(Arc::new(Mutex::new(Books {
            pulse,
            link,
            times,
            sent: Vec::new(),
            received: Vec::new(),
            next: 0,
            chunks: Vec::new(),
            begun: false,
            facts: [None; FACTS],
            events: 0,
            close_code: None,
            closed_at: 0,
            close_end: None,
            illegal_at: None,
            told: None,
            drops,
            receiving: 0,
            operating: 0,
            sleeping: 0,
            fragmenting: 0,
            operated: 0,
            failure: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first thing that is wrong.
    pub fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// Something is wrong that only the test can see.
    pub fn fail(&self, what: impl Into<String>) {
        self.lock().fail(what.into());
    }

    /// An operation begins to wait.
    pub fn operates(&self, kind: Kind) -> Operating {
        *kind.count(&mut self.lock()) += 1;
        Operating(self.clone(), kind)
    }

    /// Remembers `fact`.
    pub fn note(&self, fact: Fact) {
        self.lock().note(fact);
    }

    /// When `fact` became known, milliseconds.
    pub fn since(&self, fact: Fact) -> Option<u64> {
        self.lock().fact(fact).map(|(_, now)| now)
    }

    /// Whether `fact` is known.
    pub fn knows(&self, fact: Fact) -> bool {
        self.lock().knows(fact)
    }

    // ---- from the end under test to the peer ----

    /// A message of `source`, about `size` bytes, and its number. `queued`: a full queue may drop it.
    pub fn offer(&self, source: usize, size: usize, text: bool, queued: bool) -> (usize, String) {
        let mut books = self.lock();
        let number = books.sent.len();
        let size = if size == 0 { 0 } else { size.max(numbered::smallest(number)) };
        let droppable = queued && books.drops;
        let (fate, direct) = (Fate::Unknown, !queued);
        books.sent.push(Sent { source, size, text, fate, droppable, direct, taken: 0, arrived: false });
        (number, numbered::payload(number, size))
    }

    /// The message was taken, and leaves.
    pub fn accepted(&self, number: usize) {
        self.lock().accept(number, Fate::Accepted);
    }

    /// The message was taken, and leaves with a later one or a flush.
    pub fn fed(&self, number: usize) {
        self.lock().accept(number, Fate::Fed);
    }

    /// The message may be dropped, by its own policy.
    pub fn may_be_dropped(&self, number: usize) {
        self.lock().sent[number].droppable = true;
    }

    /// The message came back.
    pub fn refused(&self, number: usize) {
        let mut books = self.lock();
        books.sent[number].fate = Fate::Refused;
        if books.sent[number].arrived {
            books.fail(format!("message {number} came back and has arrived"));
        }
    }

    /// All that `source` has sent was handed to the transport.
    pub fn written(&self, source: usize) {
        let mut books = self.lock();
        for sent in books.sent.iter_mut().filter(|sent| sent.source == source && sent.direct) {
            if matches!(sent.fate, Fate::Accepted | Fate::Fed) {
                sent.fate = Fate::Written;
            }
        }
    }

    /// The peer has a message.
    pub fn arrived(&self, text: bool, payload: &[u8]) {
        let mut books = self.lock();
        if let Err(what) = books.arrive(text, payload) {
            books.fail(format!("the peer: {what}"));
        }
    }

    /// The end under test has begun to close with `code`: what was taken before leaves before.
    ///
    /// Answers whether it is the first to do so.
    pub fn closes(&self, code: u16) -> bool {
        let mut books = self.lock();
        let first = !books.knows(Fact::Closes);
        if first {
            books.close_code = Some(code);
            books.events += 1;
            // What waits behind a message in fragments is not sent any more: the close frame does not wait for its end.
            books.closed_at = if books.fragmenting > 0 { 0 } else { books.events };
        }
        books.note(Fact::Closes);
        first
    }

    /// Source 0 closes at once: what other tasks have queued may be dropped, and a close that waits behind it, too.
    pub fn closes_own(&self, code: u16) {
        self.closes(code);
        let mut books = self.lock();
        if !books.knows(Fact::CloseSeen) {
            books.close_code = Some(code);
            for sent in books.sent.iter_mut().filter(|sent| sent.source != 0) {
                sent.droppable = true;
            }
        }
    }

    /// The end under test has not begun to close after all.
    pub fn does_not_close(&self) {
        self.lock().facts[Fact::Closes as usize] = None;
    }

    /// The peer has a close frame.
    pub fn close_seen(&self, code: Option<u16>) {
        let mut books = self.lock();
        if let Err(what) = books.see_close(code) {
            books.fail(what);
        }
        books.note(Fact::CloseSeen);
    }

    /// Whether the connection may have ended, as far as anybody can know.
    pub fn may_be_over(&self) -> bool {
        self.lock().may_be_over()
    }

    /// Whether a fragmented message is being sent.
    pub fn is_fragmenting(&self) -> bool {
        self.lock().fragmenting > 0
    }

    /// An operation answered that the connection is closed.
    pub fn closed_told(&self, by: &str) {
        let mut books = self.lock();
        if !books.may_be_over() {
            books.fail(format!("{by} says that the connection is closed, and nothing has ended it"));
        }
    }

    /// Whether the end under test may have given the connection up, bytes on their way or not.
    pub fn may_be_given_up(&self) -> bool {
        let books = self.lock();
        books.may_have_expired() || books.may_be_cut_off()
    }

    // ---- from the peer ----

    /// A message of the peer, about `size` bytes, and its number.
    pub fn peer_offers(&self, size: usize, text: bool) -> (usize, String) {
        let mut books = self.lock();
        let number = books.received.len();
        let size = if size == 0 { 0 } else { size.max(numbered::smallest(number)) };
        books.received.push(Received { size, text, end: None });
        (number, numbered::payload(number, size))
    }

    /// The peer's message ends with this byte of all that it sends.
    pub fn peer_message_ends(&self, number: usize, end: u64) {
        self.lock().received[number].end = Some(end);
    }

    /// The peer's close frame ends with this byte.
    pub fn peer_closes(&self, end: u64, of_its_own_accord: bool) {
        let mut books = self.lock();
        books.close_end.get_or_insert(end);
        if of_its_own_accord {
            books.note(Fact::PeerCloses);
        }
    }

    /// The peer breaks the protocol behind this byte.
    pub fn peer_errs(&self, at: u64) {
        let mut books = self.lock();
        books.illegal_at.get_or_insert(at);
        books.note(Fact::PeerErrs);
    }

    /// The application has a message.
    pub fn received(&self, text: bool, payload: &[u8]) {
        let mut books = self.lock();
        if let Err(what) = books.receive(text, payload) {
            books.fail(format!("the application: {what}"));
        }
    }

    /// The application has a piece of a message.
    pub fn received_chunk(&self, text: bool, data: &[u8], offset: u64, first: bool, last: bool) {
        let mut books = self.lock();
        let (begun, so_far) = (books.begun, books.chunks.len());
        if first == begun || offset != so_far as u64 {
            books.fail(format!("a chunk at {offset}, first: {first}, behind {so_far} bytes, begun: {begun}"));
        }
        books.begun = !last;
        books.chunks.extend_from_slice(data);
        if last {
            let whole = std::mem::take(&mut books.chunks);
            if let Err(what) = books.receive(text, &whole) {
                books.fail(format!("the application: {what}"));
            }
        }
    }

    /// The application was told the end, by receiving or by closing.
    pub fn told(&self, end: End) {
        let mut books = self.lock();
        if let Err(what) = books.tell(end) {
            books.fail(what);
        }
    }

    // ---- while nothing happens ----

    /// Nothing has moved for a second. `reads`: the peer reads whatever comes.
    pub fn stands_still(&self, reads: bool, driven: bool) {
        let mut books = self.lock();
        if let Err(what) = books.stand_still(reads, driven) {
            books.fail(what);
        }
    }

    /// Since when only the end is waited for, milliseconds; `None` while an operation sleeps.
    pub fn idle_since(&self) -> Option<u64> {
        let books = self.lock();
        let done = books.fact(Fact::PeerIsDone)?.1;
        (books.sleeping == 0).then(|| done.max(books.operated).max(books.link.moved_at()))
    }

    /// All tasks have ended. `driven`: the connection had a task of its own.
    pub fn finish(&self, driven: bool) {
        let mut books = self.lock();
        if let Err(what) = books.finish(driven) {
            books.fail(what);
        }
    }
}

impl Books {
    fn fail(&mut self, what: String) {
        self.failure.get_or_insert(what);
    }

    const fn fact(&self, fact: Fact) -> Option<(u64, u64)> {
        self.facts[fact as usize]
    }

    const fn knows(&self, fact: Fact) -> bool {
        self.fact(fact).is_some()
    }

    fn note(&mut self, fact: Fact) {
        let at = (self.pulse.step(), self.pulse.now());
        self.facts[fact as usize].get_or_insert(at);
    }

    /// Whether a deadline may have ended the connection.
    fn may_have_expired(&self) -> bool {
        self.pulse.now() >= self.times.earliest
            && (self.link.longest_silence() >= self.times.pong || self.may_be_cut_off() || self.waits_long())
    }

    /// Whether the peer may have been given up for what it does not take.
    fn may_be_cut_off(&self) -> bool {
        self.link.longest_blocked() >= self.times.stalled || self.pulse.now() >= SLOW_AFTER
    }

    /// Whether a message of the peer has begun, or may have, and not ended for as long as a message may take.
    fn waits_long(&self) -> bool {
        let unread = |message: &Received| message.end.is_none_or(|end| end > self.link.read());
        self.pulse.now() >= MESSAGE_TIME && self.received.iter().any(unread)
    }

    fn may_be_over(&self) -> bool {
        use Fact::*;
        [Closes, Fails, Aborted, Stops, Dropped, PeerCloses, PeerEnds, PeerResets, PeerErrs]
            .into_iter()
            .any(|fact| self.knows(fact))
            || self.may_have_expired()
    }

    // ---- out ----

    fn accept(&mut self, number: usize, fate: Fate) {
        self.events += 1;
        self.pulse.moves();
        let sent = &mut self.sent[number];
        (sent.fate, sent.taken) = (fate, self.events);
    }

    fn arrive(&mut self, text: bool, payload: &[u8]) -> Result<(), String> {
        let number = match numbered::number(payload)? {
            Some(number) => number,
            None => self.empty()?,
        };
        let Some(sent) = self.sent.get_mut(number) else {
            return Err(format!("nobody has sent message {number}"));
        };
        if (sent.size, sent.text) != (payload.len(), text) {
            return Err(format!(
                "message {number} has {} bytes, text: {text}; sent was {sent:?}",
                payload.len()
            ));
        }
        if std::mem::replace(&mut sent.arrived, true) {
            return Err(format!("message {number} has arrived twice"));
        }
        if sent.fate == Fate::Refused {
            return Err(format!("message {number} has arrived and came back"));
        }
        let source = sent.source;
        let of_source = |sent: &&Sent| sent.source == source;
        if let Some(later) = self.sent[number + 1..].iter().filter(of_source).position(|sent| sent.arrived) {
            return Err(format!("message {number} of task {source} comes behind the {later}th after it"));
        }
        let missing = self.sent[..number].iter().position(|sent| sent.source == source && sent.is_missing());
        match missing {
            Some(missing) => Err(format!("message {missing} of task {source} is lost: {number} has arrived")),
            None => Ok(()),
        }
    }

    /// Which empty message this must be: they all come from one source.
    fn empty(&self) -> Result<usize, String> {
        let next =
            self.sent.iter().position(|sent| sent.size == 0 && !sent.arrived && sent.fate != Fate::Refused);
        next.ok_or_else(|| "an empty message that nobody has sent".to_owned())
    }

    fn see_close(&mut self, code: Option<u16>) -> Result<(), String> {
        match code {
            Some(1002 | 1003 | 1007 | 1008 | 1009) if !self.knows(Fact::PeerErrs) => {
                return Err(format!("the peer is told {code:?} and has done nothing wrong"));
            }
            Some(3008) if !self.may_have_expired() => {
                return Err(format!("a peer that was never silent for {} ms is given up", self.times.pong));
            }
            _ => {}
        }
        if !self.knows(Fact::Closes) || self.knows(Fact::PeerCloses) || self.knows(Fact::Fails) {
            return Ok(());
        }
        if code != self.close_code {
            let failed = matches!(code, Some(1002 | 1003 | 1007 | 1008 | 1009 | 1011 | 1013 | 3008));
            let asked = self.close_code;
            return if failed {
                Ok(())
            } else {
                Err(format!("the peer is told {code:?}, and asked was {asked:?}"))
            };
        }
        match self.sent.iter().position(|sent| sent.is_missing() && sent.taken < self.closed_at) {
            Some(lost) => {
                Err(format!("message {lost} is lost: it was taken before the close frame, which has arrived"))
            }
            None => Ok(()),
        }
    }

    // ---- in ----

    fn receive(&mut self, text: bool, payload: &[u8]) -> Result<(), String> {
        if let Some(told) = &self.told {
            return Err(format!("a message of {} bytes after the end {told:?}", payload.len()));
        }
        let number = numbered::number(payload)?;
        let Some(next) = self.received.get(self.next) else {
            return Err(format!(
                "message {number:?} of {} bytes, which the peer has not sent",
                payload.len()
            ));
        };
        let read = next.end.is_some_and(|end| end <= self.link.read());
        let right =
            number.unwrap_or(self.next) == self.next && (next.size, next.text) == (payload.len(), text);
        if !right || !read {
            return Err(format!(
                "message {number:?} of {} bytes, text: {text}, instead of {} {next:?}",
                payload.len(),
                self.next
            ));
        }
        self.next += 1;
        Ok(())
    }

    fn tell(&mut self, end: End) -> Result<(), String> {
        if let Some(told) = &self.told {
            return if end == End::Clean {
                Ok(())
            } else {
                Err(format!("the end was told as {told:?}, then as {end:?}"))
            };
        }
        self.told = Some(end.clone());
        let forced = self.knows(Fact::Fails) || self.knows(Fact::Aborted);
        let close_read = self.close_end.is_some_and(|close| close <= self.link.read());
        let legal = match &end {
            End::Clean => close_read || forced,
            // An owner that was dropped has not seen the end.
            End::Abnormal if self.knows(Fact::Aborted) => true,
            End::Abnormal => {
                (self.knows(Fact::PeerEnds) || self.knows(Fact::PeerResets)) && (!close_read || forced)
            }
            End::Io => self.knows(Fact::PeerResets) && (!close_read || forced),
            End::Timeout(name) => self.may_have_timed_out(name),
            End::Peer => self.knows(Fact::PeerErrs),
            End::Other(_) => false,
        };
        if !legal {
            return Err(format!("the application is told {end:?}: {}", self.account()));
        }
        if self.knows(Fact::Discards) {
            return Ok(());
        }
        let until = self.due(&end);
        match self.received[self.next..]
            .iter()
            .position(|message| message.end.is_some_and(|end| end <= until))
        {
            Some(0) => Err(format!(
                "message {} and what follows is lost: the end is told as {end:?}; {}",
                self.next,
                self.account()
            )),
            _ => Ok(()),
        }
    }

    fn may_have_timed_out(&self, name: &str) -> bool {
        let now = self.pulse.now();
        match name {
            "Message" => self.waits_long(),
            "Fragment" => now >= FRAGMENT_TIME,
            "Slow" => now >= SLOW_AFTER,
            "Stalled" => self.link.longest_blocked() >= self.times.stalled,
            // It begins when the close frame has left.
            "Closing" => {
                // One that stops does not wait for that.
                let stops = self.fact(Fact::Stops).map_or(u64::MAX, |(_, since)| since);
                now - self.link.written_at().min(stops) >= self.times.closing
            }
            _ => self.link.longest_silence() >= self.times.pong && now >= self.times.pong,
        }
    }

    /// How many of the peer's bytes must have reached the application before it is told `end`.
    fn due(&self, end: &End) -> u64 {
        let forced = [Fact::Fails, Fact::Aborted].into_iter().filter_map(|fact| self.fact(fact)).min();
        let before = forced.map_or(u64::MAX, |(step, _)| self.link.read_before(step));
        let all = match end {
            End::Clean => self.close_end.unwrap_or(u64::MAX),
            End::Peer => self.illegal_at.unwrap_or(u64::MAX),
            // All that was received stays readable.
            End::Abnormal => self.link.delivered(),
            End::Io if self.times.delivers => self.link.delivered(),
            End::Io => self.fact(Fact::PeerResets).map_or(0, |(step, _)| self.link.read_before(step)),
            End::Timeout(_) if self.times.delivers => self.link.read_before_time(self.times.earliest),
            End::Timeout(_) | End::Other(_) => 0,
        };
        all.min(before)
    }

    fn account(&self) -> String {
        format!(
            "facts {:?}, close frame at {:?}, read {}, delivered {}, longest silence {} ms, now {} ms",
            self.facts,
            self.close_end,
            self.link.read(),
            self.link.delivered(),
            self.link.longest_silence(),
            self.pulse.now()
        )
    }

    // ---- time ----

    fn stand_still(&self, reads: bool, driven: bool) -> Result<(), String> {
        let over = self.may_be_over();
        if reads
            && self.receiving > 0
            && self.told.is_none()
            && self.link.unread() > 0
            && !self.knows(Fact::Discards)
        {
            return Err(format!("{} bytes are not read while the application receives", self.link.unread()));
        }
        let moved = driven || self.receiving + self.operating > 0;
        if reads && moved && !over && self.fragmenting == 0 && self.link.in_flight() == 0 {
            let stuck = self.sent.iter().position(|sent| sent.is_missing() && sent.fate != Fate::Fed);
            if let Some(stuck) = stuck {
                return Err(format!("message {stuck} was taken and does not leave, while the peer reads"));
            }
        }
        Ok(())
    }

    fn finish(&self, driven: bool) -> Result<(), String> {
        if self.knows(Fact::PeerResets) || self.link.is_dropped_unread() {
            return Ok(());
        }
        if self.knows(Fact::EndSeen)
            && let Some(lost) =
                self.sent.iter().position(|sent| sent.fate == Fate::Written && sent.is_missing())
        {
            return Err(format!("message {lost} is lost: it was handed to the transport"));
        }
        let excused = self.knows(Fact::Aborted)
            || self.knows(Fact::Stops)
            || self.knows(Fact::PeerEnds)
            || self.may_be_cut_off()
            || !self.knows(Fact::EndSeen);
        let promised = self.knows(Fact::Closes) || driven;
        if promised && !excused && !self.knows(Fact::CloseSeen) {
            return Err(format!("the peer was never silent and has no close frame; {}", self.account()));
        }
        Ok(())
    }
}

impl Sent {
    /// It should have arrived.
    fn is_missing(&self) -> bool {
        !self.arrived && !self.droppable && matches!(self.fate, Fate::Fed | Fate::Accepted | Fate::Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::link::Shape;

    const TIMES: Times = Times { pong: 1000, stalled: 1000, closing: 500, earliest: 500, delivers: true };

    fn ledger() -> Ledger {
        let pulse = Pulse::default();
        let shape = Shape { outgoing: 100, incoming: 100, most: 100, hesitates: 0 };
        let (link, _) = Link::new(shape, 1, pulse.clone());
        Ledger::new(pulse, link, TIMES, false)
    }

    /// Two messages of one task, taken.
    fn two() -> (Ledger, String, String) {
        let ledger = ledger();
        let (first, one) = ledger.offer(0, 10, true, false);
        let (second, two) = ledger.offer(0, 0, true, false);
        ledger.accepted(first);
        ledger.accepted(second);
        (ledger, one, two)
    }

    fn failure(ledger: &Ledger) -> String {
        ledger.failure().unwrap_or_default()
    }

    #[test]
    fn messages_that_arrive_in_order_are_right() {
        let (ledger, one, two) = two();
        ledger.arrived(true, one.as_bytes());
        ledger.arrived(true, two.as_bytes());
        assert_eq!(ledger.failure(), None);
    }

    #[test]
    fn what_is_lost_doubled_or_another_is_found() {
        let (ledger, _, two_) = two();
        ledger.arrived(true, two_.as_bytes());
        assert!(failure(&ledger).contains("is lost"), "{}", failure(&ledger));
        let (ledger, one, _) = two();
        ledger.arrived(true, one.as_bytes());
        ledger.arrived(true, one.as_bytes());
        assert!(failure(&ledger).contains("twice"), "{}", failure(&ledger));
        let (ledger, one, _) = two();
        ledger.arrived(false, one.as_bytes());
        assert!(failure(&ledger).contains("sent was"), "{}", failure(&ledger));
        let (ledger, ..) = two();
        ledger.closes(1000);
        ledger.close_seen(Some(1000));
        assert!(failure(&ledger).contains("before the close frame"), "{}", failure(&ledger));
    }

    #[test]
    fn what_came_back_must_not_arrive() {
        let ledger = ledger();
        let (number, one) = ledger.offer(0, 10, true, false);
        ledger.refused(number);
        ledger.arrived(true, one.as_bytes());
        assert!(failure(&ledger).contains("came back"));
    }

    #[test]
    fn an_end_for_which_there_is_no_reason_is_found() {
        for end in [End::Clean, End::Abnormal, End::Io, End::Peer, End::Timeout("Pong".into())] {
            let ledger = ledger();
            ledger.told(end.clone());
            assert!(failure(&ledger).contains("is told"), "{end:?}");
        }
        let ledger = ledger();
        ledger.note(Fact::PeerEnds);
        ledger.told(End::Abnormal);
        assert_eq!(ledger.failure(), None);
        ledger.told(End::Abnormal);
        assert!(failure(&ledger).contains("then as"));
    }
}
