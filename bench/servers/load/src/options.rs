//! The command line.

use std::time::Duration;

use lexopt::Arg::{Long, Value};
use lexopt::ValueExt;

use crate::failure::Failure;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Each connection has so many messages in flight; an answer is followed by the next message.
    Echo,
    /// One connection sends, the server sends to all.
    Broadcast,
    /// Messages leave at a fixed rate, whatever the server does.
    Paced,
    /// Connections that say nothing: their memory, and what opening them costs.
    Idle,
    /// A client instead of a server: the load is its server.
    Client,
}

/// What a client under test does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Send,
    Receive,
}

/// All options. Those that a measurement has no use for are ignored.
pub(crate) struct Options {
    pub(crate) what: What,
    pub(crate) port: u16,
    /// The process whose time and memory are counted.
    pub(crate) pid: u32,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    /// Payload, bytes.
    pub(crate) size: usize,
    pub(crate) seconds: Duration,
    pub(crate) warm_up: Duration,
    /// Messages a second, all connections together.
    pub(crate) rate: f64,
    /// Bytes without handshake and frames.
    pub(crate) raw: bool,
    /// permessage-deflate without context takeover; the payload is 1 KiB of JSON then.
    pub(crate) deflate: bool,
    /// Waits in the system for answers, instead of asking all the time: for servers that have this core, too.
    pub(crate) waits: bool,
    /// Also echoes on idle connections, and what memory stays after it.
    pub(crate) echoes: bool,
    pub(crate) direction: Direction,
    /// The command of a client under test: all that stands behind `--command`. `{port}` in it stands for the port.
    pub(crate) command: Vec<String>,
}

impl Options {
    pub(crate) fn from_command_line() -> Result<Self, Failure> {
        Self::parse(lexopt::Parser::from_env()).map_err(|error| Failure(error.to_string()))
    }

    fn parse(mut words: lexopt::Parser) -> Result<Self, lexopt::Error> {
        let mut options = Self {
            what: What::Echo,
            port: 0,
            pid: 0,
            connections: 1,
            in_flight: 1,
            size: 20,
            seconds: Duration::from_secs(1),
            warm_up: Duration::from_millis(300),
            rate: 20_000.0,
            raw: false,
            deflate: false,
            waits: false,
            echoes: false,
            direction: Direction::Receive,
            command: Vec::new(),
        };
        while let Some(word) = words.next()? {
            match word {
                Long("port") => options.port = words.value()?.parse()?,
                Long("pid") => options.pid = words.value()?.parse()?,
                Long("connections") => options.connections = words.value()?.parse()?,
                Long("in-flight") => options.in_flight = words.value()?.parse()?,
                Long("size") => options.size = words.value()?.parse()?,
                Long("seconds") => options.seconds = Duration::from_secs_f64(words.value()?.parse()?),
                Long("warm-up") => options.warm_up = Duration::from_secs_f64(words.value()?.parse()?),
                Long("rate") => options.rate = words.value()?.parse()?,
                Long("raw") => options.raw = true,
                Long("deflate") => options.deflate = true,
                Long("waits") => options.waits = true,
                Long("echoes") => options.echoes = true,
                Long("sends") => options.direction = Direction::Send,
                Long("command") => {
                    options.command =
                        words.raw_args()?.map(|word| word.string()).collect::<Result<_, _>>()?;
                }
                Value(what) => options.what = kind(&what.string()?)?,
                _ => return Err(word.unexpected()),
            }
        }
        Ok(options)
    }
}

fn kind(word: &str) -> Result<What, lexopt::Error> {
    match word {
        "echo" => Ok(What::Echo),
        "broadcast" => Ok(What::Broadcast),
        "paced" => Ok(What::Paced),
        "idle" => Ok(What::Idle),
        "client" => Ok(What::Client),
        _ => Err(format!("{word}: echo, broadcast, paced, idle or client is expected").into()),
    }
}
