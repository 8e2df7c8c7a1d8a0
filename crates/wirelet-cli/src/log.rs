//! The log: `I (1234) tag: message` — level, milliseconds since the start, who says it, what happened.
//!
//! Lines go through a bounded queue to a thread of their own. A terminal that is held (Ctrl-S), or a pipe that
//! nobody reads, then stops the log and not the connections.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// `E`: something failed.
    Error,
    /// `W`: a peer misbehaved, or something was given up.
    Warning,
    /// `I`: connections and messages.
    Info,
    /// `D`: pings, pongs, HTTP requests.
    Debug,
    /// `V`: whole payloads.
    Verbose,
}

impl Level {
    /// The level for so many `-v` and so many `-q`.
    pub(crate) fn from_flags(verbose: u8, quiet: bool) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Warning,
            (false, 0) => Self::Info,
            (false, 1) => Self::Debug,
            (false, _) => Self::Verbose,
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Error => 'E',
            Self::Warning => 'W',
            Self::Info => 'I',
            Self::Debug => 'D',
            Self::Verbose => 'V',
        }
    }

    const fn style(self) -> Style {
        match self {
            Self::Error => AnsiColor::Red.on_default().bold(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Info => AnsiColor::Green.on_default(),
            Self::Debug | Self::Verbose => Style::new().dimmed(),
        }
    }
}

/// What happens to a line when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// The writer of the line waits: nothing is lost.
    Wait,
    /// The line is dropped and counted: nobody waits.
    Drop,
}

/// A handle to the log; clones write to the same one.
#[derive(Clone)]
pub(crate) struct Log {
    shared: Arc<Shared>,
}

struct Shared {
    start: Instant,
    level: Level,
    when_full: WhenFull,
    lines: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

enum Entry {
    Line(String),
    Finish(SyncSender<()>),
}

/// Lines that wait for a slow output.
const QUEUE: usize = 4096;
/// How long the end of the program waits for a slow output.
const FINISH: Duration = Duration::from_secs(1);

impl Log {
    /// A log on the standard output, in colours if that is a terminal.
    pub(crate) fn start(level: Level, when_full: WhenFull) -> Self {
        Self::start_on(anstream::stdout(), level, when_full)
    }

    fn start_on(output: impl Write + Send + 'static, level: Level, when_full: WhenFull) -> Self {
        let (lines, queue) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        thread::spawn(move || write_all(output, &queue, &counter));
        Self { shared: Arc::new(Shared { start: Instant::now(), level, when_full, lines, dropped }) }
    }

    /// Whether lines of this level are shown: guards work that only a log line needs.
    pub(crate) fn shows(&self, level: Level) -> bool {
        level <= self.shared.level
    }

    /// Writes a line, if its level is shown.
    pub(crate) fn write(&self, level: Level, tag: impl fmt::Display, message: fmt::Arguments<'_>) {
        if self.shows(level) {
            let style = level.style();
            let elapsed = self.shared.start.elapsed().as_millis();
            self.push(format!("{style}{} ({elapsed}) {tag}:{style:#} {message}\n", level.letter()));
        }
    }

    /// Writes text as it is, whatever the level.
    pub(crate) fn plain(&self, text: fmt::Arguments<'_>) {
        self.push(format!("{text}\n"));
    }

    /// Waits until everything is written, at most a second.
    pub(crate) fn finish(&self) {
        let (done, wait) = sync_channel(1);
        let mut entry = Entry::Finish(done);
        let deadline = Instant::now() + FINISH;
        while let Err(TrySendError::Full(back)) = self.shared.lines.try_send(entry) {
            if Instant::now() >= deadline {
                return;
            }
            entry = back;
            thread::sleep(Duration::from_millis(5));
        }
        let _: Result<(), RecvTimeoutError> = wait.recv_timeout(FINISH);
    }

    fn push(&self, line: String) {
        // The thread ends only with the last handle, so that a failed `send` cannot happen.
        match self.shared.when_full {
            WhenFull::Wait => drop(self.shared.lines.send(Entry::Line(line))),
            WhenFull::Drop => {
                if let Err(TrySendError::Full(_)) = self.shared.lines.try_send(Entry::Line(line)) {
                    self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

// An output that is gone (`wirelet serve | head -1`) is no reason to stop serving: errors are ignored.
fn write_all(mut output: impl Write, queue: &Receiver<Entry>, dropped: &AtomicU64) {
    while let Ok(entry) = queue.recv() {
        let _: io::Result<()> = match entry {
            Entry::Line(line) => output.write_all(line.as_bytes()),
            Entry::Finish(done) => {
                let flushed = output.flush();
                let _ = done.send(());
                flushed
            }
        };
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(output, "… {lost} lines are missing here: the output was too slow");
        }
    }
}

/// A log whose lines a test can read.
#[cfg(test)]
pub(crate) fn captured(level: Level) -> (Log, tests::Gate) {
    let gate = tests::Gate::default();
    gate.open();
    (Log::start_on(gate.clone(), level, WhenFull::Wait), gate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Condvar, Mutex, PoisonError};

    /// Holds everything back until it is opened.
    #[derive(Clone, Default)]
    pub(crate) struct Gate(Arc<(Mutex<Held>, Condvar)>);

    #[derive(Default)]
    pub(crate) struct Held {
        open: bool,
        bytes: Vec<u8>,
    }

    impl Gate {
        pub(super) fn open(&self) {
            self.0.0.lock().unwrap_or_else(PoisonError::into_inner).open = true;
            self.0.1.notify_all();
        }

        pub(crate) fn text(&self) -> String {
            let bytes = self.0.0.lock().unwrap_or_else(PoisonError::into_inner).bytes.clone();
            anstream::adapter::strip_str(std::str::from_utf8(&bytes).unwrap()).to_string()
        }
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mut state =
                self.0.1.wait_while(state, |held| !held.open).unwrap_or_else(PoisonError::into_inner);
            state.bytes.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_have_level_time_tag_and_message() {
        let (log, gate) = captured(Level::Info);
        log.write(Level::Info, "echo #1", format_args!("hello"));
        log.write(Level::Debug, "echo #1", format_args!("not shown"));
        log.plain(format_args!("plain"));
        log.finish();
        let text = gate.text();
        let (line, plain) = text.split_once('\n').unwrap();
        assert!(line.starts_with("I (") && line.ends_with(") echo #1: hello"), "{line}");
        assert_eq!(plain, "plain\n");
    }

    #[test]
    fn an_output_that_is_held_drops_lines_and_says_so() {
        let gate = Gate::default();
        let log = Log::start_on(gate.clone(), Level::Info, WhenFull::Drop);
        for i in 0..QUEUE + 10 {
            log.plain(format_args!("line {i}"));
        }
        gate.open();
        log.finish();
        let text = gate.text();
        assert!(text.starts_with("line 0\n"));
        assert!(text.contains("lines are missing here"), "{}", text.len());
    }

    #[test]
    fn flags_choose_the_level() {
        let levels =
            [(0, true), (0, false), (1, false), (2, false), (9, false)].map(|(v, q)| Level::from_flags(v, q));
        assert_eq!(levels, [Level::Warning, Level::Info, Level::Debug, Level::Verbose, Level::Verbose]);
    }
}
