//! The WebSocket endpoint: sends back what it receives, text as text and binary as binary.

use std::fmt;
use std::sync::Arc;

use wirelet::server::Context;
use wirelet::{CompressionInfo, Error, Event, Message, Sender, SlowReceiver, WebSocket};

use super::Application;
use crate::compression::Savings;
use crate::log::Level;
use crate::shown;
use crate::sizes::Bytes;

/// This text is not sent back: another task answers it.
const TRIGGER: &str = "Trigger async";
/// What that task answers.
const ASYNC_DATA: &str = "Async data";

/// Serves one connection until it ends.
///
/// # Cancel safety
/// Dropping the future drops the connection.
pub(crate) async fn serve(application: Arc<Application>, mut socket: WebSocket, context: Context) {
    let open = application.counters.open();
    let tag = format!("ws #{}", open.number);
    let mut echo = Echo { application: &application, tag, compression: socket.compression() };
    echo.handshake(&context);
    let end = loop {
        match socket.recv_event().await {
            Ok(Some(Event::Message(message))) => {
                if let Err(error) = echo.answer(&mut socket, message).await {
                    // Why it is closed is what receiving tells next.
                    echo.log(Level::Debug, format_args!("not sent back: {error}"));
                }
                echo.count_compression(&socket);
            }
            Ok(Some(event)) => echo.control(&event),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    echo.end(&socket, end);
}

fn shown_peer(context: &Context) -> String {
    context.peer().map_or_else(|| "a peer without an address".to_owned(), |peer| peer.to_string())
}

/// One connection, as far as the log and the counters are concerned.
struct Echo<'a> {
    application: &'a Arc<Application>,
    tag: String,
    /// What has been counted of it; `None`: nothing was agreed.
    compression: Option<CompressionInfo>,
}

impl Echo<'_> {
    fn handshake(&self, context: &Context) {
        let (peer, path) = (shown_peer(context), shown::text(context.path()));
        let subprotocol =
            context.subprotocol().map(|name| format!(", subprotocol {name}")).unwrap_or_default();
        let compression = match self.compression {
            None => String::new(),
            Some(info) => {
                self.application.counters.agreed(info.params);
                format!(", {}", info.params)
            }
        };
        self.log(
            Level::Info,
            format_args!("handshake done with {peer}, path {path}{subprotocol}{compression}"),
        );
    }

    fn count_compression(&mut self, socket: &WebSocket) {
        if let Some((before, now)) = self.compression.zip(socket.compression()) {
            self.application.counters.compressed(&before, &now);
            self.compression = Some(now);
        }
    }

    async fn answer(&self, socket: &mut WebSocket, message: Message) -> Result<(), Error> {
        let counters = &self.application.counters;
        let length = message.len();
        counters.received(length);
        self.tell(&message);
        if message.as_text() == Some(TRIGGER) {
            self.answer_from_another_task(socket.sender());
            return Ok(());
        }
        socket.send(message).await?;
        counters.sent(length);
        Ok(())
    }

    /// The task waits for nothing: a peer that triggers and does not read is closed with 1013.
    fn answer_from_another_task(&self, sender: Sender) {
        let application = Arc::clone(self.application);
        let tag = self.tag.clone();
        let sender = sender.with_policy(SlowReceiver::Close);
        tokio::spawn(async move {
            match sender.try_send(ASYNC_DATA) {
                Ok(()) => {
                    application.counters.sent(ASYNC_DATA.len());
                    application.log.write(Level::Info, tag, format_args!("another task sent: {ASYNC_DATA}"));
                }
                Err(error) => {
                    application.log.write(
                        Level::Warning,
                        tag,
                        format_args!("another task could not send: {error}"),
                    );
                }
            }
        });
    }

    fn tell(&self, message: &Message) {
        if !self.application.log.shows(Level::Info) {
            return;
        }
        let size = Bytes(message.len() as u64);
        match message {
            Message::Text(text) if self.application.log.shows(Level::Verbose) => {
                self.log(Level::Verbose, format_args!("got text (opcode 1), {size}: {}", shown::full(text)));
            }
            Message::Text(text) => {
                self.log(Level::Info, format_args!("got text (opcode 1), {size}: {}", shown::text(text)));
            }
            Message::Binary(data) => {
                self.log(Level::Info, format_args!("got binary (opcode 2), {size}: {}", shown::Hex(data)));
            }
        }
    }

    fn control(&self, event: &Event) {
        let (name, payload) = match event {
            Event::Ping(payload) => ("ping (opcode 9), answered with a pong", payload),
            Event::Pong(payload) => ("pong (opcode 10)", payload),
            // Whole messages are asked for, and handled before.
            Event::Message(_) | Event::Chunk(_) => return,
        };
        self.log(Level::Debug, format_args!("got {name}, {}", Bytes(payload.len() as u64)));
    }

    fn end(&mut self, socket: &WebSocket, end: Result<(), Error>) {
        let info = socket.close_info();
        if let Some(code) = info.received {
            let reason = socket.close_reason().unwrap_or_default();
            let colon = if reason.is_empty() { "" } else { ": " };
            self.log(
                Level::Info,
                format_args!("got close (opcode 8), {code}{colon}{}", shown::text(&reason)),
            );
        }
        self.count_compression(socket);
        if let Some(info) = self.compression {
            self.log(Level::Info, format_args!("compression: {}", Savings(info)));
        }
        match end {
            Ok(()) => self.log(Level::Info, format_args!("closed")),
            Err(error @ Error::Abnormal) => self.log(Level::Info, format_args!("closed: {error}")),
            Err(error) => self.log(Level::Warning, format_args!("closed: {error}")),
        }
    }

    fn log(&self, level: Level, message: fmt::Arguments<'_>) {
        self.application.log.write(level, &self.tag, message);
    }
}
