//! The test binary again, as a server in a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

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
        let binary = std::env::current_exe().unwrap();
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .arg(binary)
            .args(["--exact", entry, "--ignored", "--nocapture", "--test-threads=1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.into_iter().find(|line| line.starts_with(ANNOUNCED)).expect("the child serves");
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
