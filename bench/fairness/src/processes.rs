//! The other processes: servers and floods.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Why nothing could be measured.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A server that serves; it is killed when this is dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Served {
    pub(crate) fn start(program: &Path, mode: &str) -> Result<Self, Failure> {
        let wrong = |what: String| Failure(format!("{}: {what}", program.display()));
        let mut child = Command::new(program)
            .args(["serve", mode])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| wrong(error.to_string()))?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            let _ = BufReader::new(output).read_line(&mut line);
        }
        match line.trim().parse() {
            Ok(address) => Ok(Self { child, address }),
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(wrong("it does not serve".to_owned()))
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Peers that flood, behind all others when the processor is shared out.
pub(crate) struct Flood(Child);

impl Flood {
    pub(crate) fn start(
        kind: &str,
        address: SocketAddr,
        peers: usize,
        time: Duration,
    ) -> Result<Self, Failure> {
        let wrong = |error: std::io::Error| Failure(format!("the flood: {error}"));
        let program = std::env::current_exe().map_err(wrong)?;
        Command::new("nice")
            .args(["-n", "15"])
            .arg(program)
            .args(["flood", kind, &address.to_string(), &peers.to_string(), &time.as_secs_f64().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map(Self)
            .map_err(wrong)
    }

    /// Waits for its end.
    pub(crate) fn end(self) -> Result<Taken, Failure> {
        let output = self.0.wait_with_output().map_err(|error| Failure(format!("the flood: {error}")))?;
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        Taken::parse(&line).ok_or_else(|| Failure(format!("the flood says {line:?}")))
    }
}

/// What a server has taken from all flooding peers together.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    /// A second.
    pub(crate) bytes: f64,
    /// Messages or control frames, a second.
    pub(crate) messages: f64,
    /// Connections that the server has ended.
    pub(crate) ended: u64,
}

impl Taken {
    /// How one process tells the other.
    pub(crate) fn line(&self) -> String {
        format!("{} {} {}", self.bytes, self.messages, self.ended)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (bytes, messages) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { bytes, messages, ended: words.next()?.parse().ok()? })
    }
}
