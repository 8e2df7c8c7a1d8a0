//! `wirelet demo`: connects, sends texts and a fragmented one, tells every event, and closes when it is quiet.

mod events;
mod failure;
mod json;
mod tls;

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use wirelet::client::Client;
use wirelet::{Chunk, CloseCode, Compression, Delivery, Error, Event, Limits, WebSocket};

use crate::arguments::{self, ProxyChoice};
use crate::exit::{Exit, Failure};
use crate::log::{Level, Log, WhenFull};
use crate::signals::Signals;
use events::Events;

/// Runs the demonstration.
///
/// # Errors
/// Whatever the exit codes from 1 to 7 stand for.
pub(crate) fn run(arguments: arguments::Demo) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Unexpected, format!("the runtime does not start: {error}")))?;
    let log = Log::start(Level::from_flags(arguments.log.verbose, arguments.log.quiet), WhenFull::Wait);
    let outcome = runtime.block_on(demonstrate(arguments, log.clone()));
    log.finish();
    // A look-up of a name that still goes on is not waited for.
    runtime.shutdown_background();
    outcome
}

async fn demonstrate(arguments: arguments::Demo, log: Log) -> Result<Exit, Failure> {
    let events = Events::new(log);
    let mut signals = Signals::listen()
        .map_err(|error| Failure::new(Exit::Unexpected, format!("signals cannot be caught: {error}")))?;
    events.before_connect(&arguments.url);
    let connecting = connect(&arguments, &events);
    let socket = tokio::select! {
        socket = connecting => socket?,
        _ = signals.next() => {
            events.interrupted();
            return Ok(Exit::Interrupted);
        }
    };
    let script = Script::new(&arguments);
    let quiet_since = Instant::now();
    Session {
        socket,
        events,
        script,
        signals,
        quiet_since,
        watchdog: arguments.watchdog,
        patience: arguments.timeout,
    }
    .run()
    .await
}

async fn connect(arguments: &arguments::Demo, events: &Events) -> Result<WebSocket, Failure> {
    let time = arguments.timeout;
    // Chunks are told and let go: a message may be of any size.
    let limits = Limits { message: u64::MAX, handshake_time: time, closing_time: time, ..Limits::new() };
    let mut builder =
        Client::builder(&arguments.url).delivery(Delivery::Chunks).connect_timeout(time).limits(limits);
    // The texts are short, and it is to be seen.
    builder = builder.compression(arguments.compress.threshold(0));
    for name in &arguments.subprotocol {
        builder = builder.subprotocol(name);
    }
    for (name, value) in &arguments.header {
        builder = builder.header(name, value);
    }
    builder = match &arguments.proxy {
        ProxyChoice::None => builder,
        ProxyChoice::Environment => builder.proxy_from_environment(),
        ProxyChoice::Named(proxy) => builder.proxy(proxy.clone()),
    };
    if let Some(tls) = tls::settings(&arguments.tls)? {
        builder = builder.tls(tls);
    }
    if arguments.tls.insecure {
        events.insecure();
    }
    let start = Instant::now();
    match builder.connect_once().await {
        Ok((socket, response)) => {
            events.connected(response.subprotocol.as_deref(), start.elapsed());
            if arguments.compress != Compression::off() {
                events.compression(socket.compression());
            }
            Ok(socket)
        }
        Err(error) => {
            events.error(&error);
            events.disconnected();
            Err(failure::not_connected(&arguments.url, &error))
        }
    }
}

/// What is still to be sent, and when.
struct Script {
    texts: u32,
    sent: u32,
    fragments_sent: bool,
    interval: Duration,
    due: Instant,
}

/// The connection and all that acts on it.
struct Session {
    socket: WebSocket,
    events: Events,
    script: Script,
    signals: Signals,
    /// When the last data came, or the last text was sent.
    quiet_since: Instant,
    watchdog: Duration,
    patience: Duration,
}

/// What happens next.
enum Happening {
    Received(Result<Option<Event>, Error>),
    Due,
    Quiet,
    Signal,
}

impl Session {
    async fn run(mut self) -> Result<Exit, Failure> {
        loop {
            match self.next().await {
                Happening::Received(Ok(Some(event))) => self.received(&event),
                Happening::Received(Ok(None)) => return self.closed_by_server(),
                Happening::Received(Err(error)) => return Err(self.broken(&error)),
                Happening::Due => self.send().await?,
                Happening::Quiet => {
                    self.events.watchdog(self.watchdog);
                    self.close(CloseCode::NORMAL).await?;
                    return Ok(Exit::Success);
                }
                Happening::Signal => {
                    self.events.interrupted();
                    // Whatever comes of it: the person wants to leave.
                    let _ = self.close(CloseCode::GOING_AWAY).await;
                    return Ok(Exit::Interrupted);
                }
            }
        }
    }

    async fn next(&mut self) -> Happening {
        let sending = !self.script.is_done();
        tokio::select! {
            biased;
            _ = self.signals.next() => Happening::Signal,
            received = self.socket.recv_event() => Happening::Received(received),
            () = sleep_until(self.script.due), if sending => Happening::Due,
            () = sleep_until(self.quiet_since + self.watchdog), if !sending => Happening::Quiet,
        }
    }

    fn received(&mut self, event: &Event) {
        match event {
            Event::Chunk(chunk) => self.data(chunk),
            // Chunks are asked for, so that messages do not come.
            Event::Message(_) => {}
            Event::Ping(payload) => self.events.ping(payload),
            Event::Pong(payload) => self.events.pong(payload),
        }
    }

    // Only data is a reason to stay: pings and pongs go on for ever.
    fn data(&mut self, chunk: &Chunk) {
        self.quiet_since = Instant::now();
        self.events.data(chunk);
    }

    /// Sends what is due.
    async fn send(&mut self) -> Result<(), Failure> {
        let sending = async {
            match self.script.next_text() {
                Some(text) => {
                    self.events.sending(&text);
                    self.socket.send(text).await
                }
                None => send_fragments(&mut self.socket, &mut self.events).await,
            }
        };
        let sent = timeout(self.patience, sending).await;
        self.script.advance();
        self.quiet_since = Instant::now();
        match sent {
            // Why it is closed is what receiving tells next.
            Ok(Ok(()) | Err(Error::Closed)) => Ok(()),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => {
                self.events.error(&"the server does not read");
                self.events.disconnected();
                self.events.totals();
                Err(Failure::new(Exit::Timeout, "the server does not read: a text could not be sent in time")
                    .help("--timeout sets how long to wait"))
            }
        }
    }

    /// Closes, at most as long as the closing handshake may take, or until the next signal.
    async fn close(&mut self, code: CloseCode) -> Result<(), Failure> {
        let closed = tokio::select! {
            closed = self.socket.close(code, "") => closed,
            _ = self.signals.next() => Err(Error::Abnormal),
        };
        match closed {
            Ok(()) => {}
            Err(error @ Error::Timeout(_)) => return Err(self.broken(&error)),
            // This client has said its last word. Flask's server, for one, may write an HTTP response where its close
            // frame belongs.
            Err(error) => self.events.not_clean(&error),
        }
        self.tell_end();
        Ok(())
    }

    fn closed_by_server(&mut self) -> Result<Exit, Failure> {
        self.tell_end();
        let code = self.socket.close_info().code();
        let good = [CloseCode::NORMAL, CloseCode::GOING_AWAY, CloseCode::NO_STATUS].contains(&code);
        if self.script.is_done() && good {
            return Ok(Exit::Success);
        }
        let when = if self.script.is_done() { "" } else { " before everything was sent" };
        let failure = Failure::new(Exit::Ended, format!("the server closed the connection{when}"));
        let failure = failure.layer("code", code.to_string());
        Err(match self.socket.close_reason() {
            Some(reason) => failure.layer("reason", crate::shown::text(&reason).to_string()),
            None => failure,
        })
    }

    fn broken(&self, error: &Error) -> Failure {
        self.events.error(error);
        self.tell_end();
        failure::broken(error, self.script.is_done())
    }

    fn tell_end(&self) {
        self.events.closed(self.socket.close_info(), &self.socket.close_reason().unwrap_or_default());
        self.events.disconnected();
        self.events.totals();
        if let Some(info) = self.socket.compression() {
            self.events.savings(info);
        }
    }
}

impl Script {
    fn new(arguments: &arguments::Demo) -> Self {
        Self {
            texts: arguments.count,
            sent: 0,
            fragments_sent: false,
            interval: arguments.interval,
            due: Instant::now(),
        }
    }

    fn is_done(&self) -> bool {
        self.fragments_sent
    }

    /// The text that is due; `None` when the fragmented one is.
    fn next_text(&self) -> Option<String> {
        (self.sent < self.texts).then(|| format!("hello {:04}", self.sent))
    }

    fn advance(&mut self) {
        if self.sent < self.texts {
            self.sent += 1;
        } else {
            self.fragments_sent = true;
        }
        self.due = Instant::now() + self.interval;
    }
}

/// 32 × `a` as the first fragment, 32 × `b` as the second, and an empty last one.
async fn send_fragments(socket: &mut WebSocket, events: &mut Events) -> Result<(), Error> {
    let (a, b) = ("a".repeat(32), "b".repeat(32));
    events.sending_fragments(&[&a, &b, ""]);
    let mut fragments = socket.text_fragments();
    fragments.write(&a).await?;
    fragments.write(&b).await?;
    fragments.finish("").await
}
