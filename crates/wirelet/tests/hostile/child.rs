//! The test binary again, as a server or as peers in a process of its own.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use wirelet::server::Server;

use super::peer::Peer;
use super::site::routes;

const ANNOUNCED: &str = "listening on ";

/// A server in a process of its own, which ends with this.
#[derive(Debug)]
pub struct Served {
    pub child: Child,
    pub address: SocketAddr,
}

/// What the child does: serves [`routes`] until its standard input ends.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    runtime.block_on(async {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        println!("\n{ANNOUNCED}{}", server.local_addr().unwrap());
        server.serve(routes()).await.unwrap();
    });
}

impl Served {
    /// Starts `command` with this binary behind it, to run the ignored test `entry`, which calls [`serve`].
    pub fn start(command: &[&str], entry: &str) -> Self {
        let (child, mut lines) = spawn(command, entry);
        let line = line_with(&mut lines, ANNOUNCED);
        let address = line[ANNOUNCED.len()..].parse().unwrap();
        Self { child, address }
    }

    pub fn open(&self) -> Peer {
        Peer::open(self.address, "/ws")
    }

    /// Ends the child and waits for it.
    pub fn stop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop();
    }
}

const PEERS_OF: &str = "WIRELET_PEERS_OF";
const DONE: &str = "all have done it: ";

/// Peers in a process of their own, whose open files are not this one's; they end with this.
#[derive(Debug)]
pub struct Peers {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peers {
    /// Starts this binary, to run the ignored test `entry`, which calls [`obey`].
    pub fn start(entry: &str, address: SocketAddr) -> Self {
        let (child, lines) = spawn(&["env", &format!("{PEERS_OF}={address}")], entry);
        Self { child, lines }
    }

    /// Waits until the peers have done what [`obey`] does for `order`.
    pub fn order(&mut self, order: &str) {
        writeln!(self.child.stdin.as_mut().expect("it obeys"), "{order}").unwrap();
        line_with(&mut self.lines, &format!("{DONE}{order}"));
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// What the child does: calls `act` with the server's address for each line of its standard input, until that ends.
pub fn obey(mut act: impl FnMut(SocketAddr, &str)) {
    let address = std::env::var(PEERS_OF).unwrap().parse().unwrap();
    for order in std::io::stdin().lines().map_while(Result::ok) {
        act(address, &order);
        println!("\n{DONE}{order}");
    }
}

/// Starts `command` with this binary behind it, to run the ignored test `entry`.
fn spawn(command: &[&str], entry: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", entry, "--ignored", "--nocapture", "--test-threads=1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// The next line of a child that begins with `start`.
fn line_with(lines: &mut Lines<BufReader<ChildStdout>>, start: &str) -> String {
    lines
        .map_while(Result::ok)
        .find(|line| line.starts_with(start))
        .expect("the child does what it was started for")
}
