//! How the program ends: one exit code for each kind of end, and the error that is printed with it.

use std::fmt::Write as _;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

/// The exit codes, which `--help` lists. Usage errors (2) are clap's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: everything went well.
    Success = 0,
    /// 1: something else went wrong, such as an address in use.
    Unexpected = 1,
    /// 2: an argument that clap lets pass, but that means nothing.
    Usage = 2,
    /// 3: no connection: unknown host, nobody listens, network unreachable.
    NotConnected = 3,
    /// 4: the server answered the opening handshake with another status than 101.
    Refused = 4,
    /// 5: the server broke the protocol, in the opening handshake or later.
    Protocol = 5,
    /// 6: a deadline passed.
    Timeout = 6,
    /// 7: the connection ended before the work was done.
    Ended = 7,
    /// 130: stopped by Ctrl-C or SIGTERM.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that ends the program: what, the layers below it, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    what: String,
    layers: Vec<(&'static str, String)>,
    help: Option<String>,
}

impl Failure {
    /// A failure that says `what` went wrong.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), layers: Vec::new(), help: None }
    }

    /// Adds a line such as `OS error  connection refused (111)`; the value may have several lines.
    pub(crate) fn layer(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.layers.push((name, value.into()));
        self
    }

    /// Says what helps.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Prints the error to the standard error stream, in colours if that is a terminal.
    pub(crate) fn print(&self) {
        use std::io::Write as _;
        // Nobody is left to tell if even this stream is gone.
        let _ = anstream::stderr().lock().write_all(self.render().as_bytes());
    }

    fn render(&self) -> String {
        const RED: Style = AnsiColor::Red.on_default().bold();
        const GREEN: Style = AnsiColor::Green.on_default().bold();
        let mut text = format!("{RED}error:{RED:#} {}\n", self.what);
        let width = self.layers.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in &self.layers {
            for (i, line) in value.lines().enumerate() {
                let name = if i == 0 { name } else { "" };
                let _ = writeln!(text, "  {name:width$}  {line}");
            }
        }
        if let Some(help) = &self.help {
            let _ = writeln!(text, "  {GREEN}help:{GREEN:#} {help}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_line_up_and_help_comes_last() {
        let failure = Failure::new(Exit::NotConnected, "could not connect")
            .layer("phase", "TCP connect")
            .layer("OS error", "connection refused\n(os error 111)")
            .help("is it running?");
        let plain = anstream::adapter::strip_str(&failure.render()).to_string();
        assert_eq!(
            plain,
            "error: could not connect\n  phase     TCP connect\n  OS error  connection refused\n            (os error 111)\n  help: is it running?\n"
        );
    }
}
