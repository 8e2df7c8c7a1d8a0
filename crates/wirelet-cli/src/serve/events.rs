//! What the library tells by [`tracing`], on the program's own log.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::log::{Level, Log};
use crate::shown;

/// From now on events of the library `wirelet` are lines of `log`.
pub(crate) fn show_on(log: &Log) {
    // There is one in a process already only if this was called before: then that one stays.
    let _ = tracing::subscriber::set_global_default(Events { log: log.clone() });
}

/// Writes events of the library and no others; spans are not shown.
struct Events {
    log: Log,
}

/// An event's message, then its fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Subscriber for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let crate_name = target.split_once("::").map_or(target, |(name, _)| name);
        metadata.is_event() && crate_name == "wirelet" && self.log.shows(level(metadata.level()))
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let (level, Line { message, fields }) = (level(event.metadata().level()), line);
        // Values may come from a peer.
        self.log.write(
            level,
            event.metadata().target(),
            format_args!("{}{}", shown::full(&message), shown::full(&fields)),
        );
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

fn level(level: &tracing::Level) -> Level {
    match *level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warning,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Verbose,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;

    #[test]
    fn events_of_the_library_alone_are_shown_and_cannot_forge_lines() {
        let (log, gate) = captured(Level::Warning);
        tracing::subscriber::with_default(Events { log: log.clone() }, || {
            tracing::warn!(target: "wirelet::server", name = "a\nE (1) x: b", count = 3, "refused\x1b[31m");
            tracing::error!(target: "wirelet", "bare");
            tracing::info!(target: "wirelet::server", "below the level");
            tracing::error!(target: "wireletx::server", "another crate");
            tracing::error_span!(target: "wirelet", "span").in_scope(|| ());
        });
        log.finish();
        let text = gate.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[0].starts_with("W (")
                && lines[0].ends_with(") wirelet::server: refused\\u{1b}[31m name=a\\u{a}E (1) x: b count=3"),
            "{text}"
        );
        assert!(lines[1].starts_with("E (") && lines[1].ends_with(") wirelet: bare"), "{text}");
    }
}
