//! `wirelet serve` on sockets that are no address: a Unix socket, and what systemd passes.
#![cfg(unix)]

mod harness;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use harness::{Program, run};
use rustix::process::Signal;

/// A folder of its own for each test, which is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wirelet-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The answer to a request for `/status`, as far as its first line.
fn status(mut stream: impl Read + Write) -> String {
    stream.write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_unix_socket_is_made_and_removed_again() {
    let folder = Folder::new("unix");
    let path = folder.path("ws.sock");
    let mut program = Program::start(&["--unix", &path]);
    program.wait_for(&path);
    assert_eq!(status(UnixStream::connect(&path).unwrap()), "HTTP/1.1 200 OK");
    // Another one finds it in use.
    let second = run(&["--unix", &path]);
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains("another program listens there"), "{}", second.stderr);
    assert_eq!(status(UnixStream::connect(&path).unwrap()), "HTTP/1.1 200 OK");
    program.signal(Signal::TERM);
    assert_eq!(program.finish().code, Some(0));
    assert!(!std::fs::exists(&path).unwrap());
}

#[test]
fn a_socket_that_a_killed_process_has_left_is_replaced_and_another_file_is_not() {
    let folder = Folder::new("left");
    let path = folder.path("ws.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(std::fs::exists(&path).unwrap());
    let mut program = Program::start(&["--unix", &path]);
    program.wait_for(&path);
    assert_eq!(status(UnixStream::connect(&path).unwrap()), "HTTP/1.1 200 OK");
    let file = folder.path("file");
    std::fs::write(&file, "precious").unwrap();
    assert_eq!(run(&["--unix", &file]).code, Some(1));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}

/// systemd begins with descriptor 3; a test can set only the standard ones.
fn activated(socket: OwnedFd) -> Program {
    Program::start_with(&["--systemd"], |command| {
        command.stdin(socket).env("LISTEN_FDS", "1").env("LISTEN_FDS_FIRST_FD", "0").env_remove("LISTEN_PID");
    })
}

#[test]
fn sockets_of_systemd_are_served() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let mut program = activated(tcp.into());
    program.wait_for(&format!("listens on {address}"));
    assert_eq!(status(TcpStream::connect(address).unwrap()), "HTTP/1.1 200 OK");

    let folder = Folder::new("systemd");
    let path = folder.path("ws.sock");
    let mut program = activated(UnixListener::bind(&path).unwrap().into());
    program.wait_for("systemd");
    assert_eq!(status(UnixStream::connect(&path).unwrap()), "HTTP/1.1 200 OK");
    program.signal(Signal::TERM);
    assert_eq!(program.finish().code, Some(0));
    assert!(std::fs::exists(&path).unwrap(), "it is systemd's");
}

#[test]
fn without_sockets_of_systemd_it_says_so() {
    let outcome = run(&["--systemd"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("systemd has passed no socket"), "{}", outcome.stderr);
    let file: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    let outcome = activated(file).finish();
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("cannot be used"), "{}", outcome.stderr);
}
