//! Where `wirelet serve` listens: an address, a Unix socket, or what systemd has passed.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::{Path, PathBuf};

use wirelet::server::Server;

use crate::arguments;
use crate::exit::{Exit, Failure};

/// Where the server listens.
pub(crate) enum Place {
    Address(SocketAddr),
    /// At no address; in words.
    Elsewhere(Somewhere),
}

/// A place that has no address.
pub(crate) enum Somewhere {
    #[cfg(unix)]
    Unix(UnixPath),
    #[cfg(unix)]
    Systemd,
}

impl Display for Somewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "the Unix socket {}", path.0.display()),
            #[cfg(unix)]
            Self::Systemd => f.write_str("the sockets that systemd has passed"),
            #[cfg(not(unix))]
            _ => Ok(()),
        }
    }
}

/// The path of a Unix socket, which is removed when the server has ended.
#[cfg(unix)]
pub(crate) struct UnixPath(PathBuf);

#[cfg(unix)]
impl Drop for UnixPath {
    fn drop(&mut self) {
        // Where somebody has removed it already, nothing is left to do.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A server that listens where the arguments say.
///
/// # Errors
/// It cannot.
pub(crate) async fn listen(arguments: &arguments::Serve) -> Result<(Server, Place), Failure> {
    #[cfg(unix)]
    if arguments.systemd {
        return activated();
    } else if let Some(path) = &arguments.unix {
        let listener = bind_unix(path).map_err(|error| cannot_listen_at(path, &error))?;
        let place = Place::Elsewhere(Somewhere::Unix(UnixPath(path.clone())));
        return Ok((Server::from_listener(listener), place));
    }
    let addr = arguments.addr;
    let server = Server::bind(addr).await.map_err(|error| cannot_listen(addr, &error))?;
    let local = server.local_addr().map_err(|error| cannot_listen(addr, &error))?;
    Ok((server, Place::Address(local)))
}

#[cfg(unix)]
fn activated() -> Result<(Server, Place), Failure> {
    let help =
        "start it by a .socket unit, or try `systemd-socket-activate --listen 8080 wirelet serve --systemd`";
    match Server::activated() {
        Ok(Some(server)) => {
            let place = server.local_addr().map_or(Place::Elsewhere(Somewhere::Systemd), Place::Address);
            Ok((server, place))
        }
        Ok(None) => Err(Failure::new(Exit::Unexpected, "systemd has passed no socket").help(help)),
        Err(error) => Err(Failure::new(Exit::Unexpected, "what systemd has passed cannot be used")
            .layer("error", error.to_string())
            .help("TCP and Unix stream sockets that listen are expected")),
    }
}

/// Listens at `path`. A socket that stands there and on which nobody listens is what a process has left that could not clean up.
#[cfg(unix)]
fn bind_unix(path: &Path) -> io::Result<tokio::net::UnixListener> {
    use std::os::unix::fs::FileTypeExt as _;
    let bound = tokio::net::UnixListener::bind(path);
    let left = |error: &io::Error| {
        error.kind() == io::ErrorKind::AddrInUse
            && std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
            && std::os::unix::net::UnixStream::connect(path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    match bound {
        Err(error) if left(&error) => {
            std::fs::remove_file(path)?;
            tokio::net::UnixListener::bind(path)
        }
        bound => bound,
    }
}

#[cfg(unix)]
fn cannot_listen_at(path: &Path, error: &io::Error) -> Failure {
    let what = match error.kind() {
        io::ErrorKind::AddrInUse => ": another program listens there, or it is another file",
        _ => "",
    };
    Failure::new(Exit::Unexpected, format!("cannot listen on {}{what}", path.display()))
        .layer("OS error", error.to_string())
        .help("--unix takes the path of a socket to make, of at most about 100 bytes")
}

fn cannot_listen(addr: SocketAddr, error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    let (what, help) = match error.kind() {
        Kind::AddrInUse => (
            "the address is in use by another program",
            "choose another port with --addr, such as --addr 127.0.0.1:8081; --addr 0 takes a free one",
        ),
        Kind::AddrNotAvailable => (
            "this machine does not have the address",
            "--addr takes an address of this machine; 0.0.0.0:8080 means all of them",
        ),
        Kind::PermissionDenied => (
            "it is not allowed",
            "ports below 1024 need privileges; choose another one with --addr, such as --addr 127.0.0.1:8080",
        ),
        _ => ("", "--addr sets where to listen"),
    };
    let colon = if what.is_empty() { "" } else { ": " };
    Failure::new(Exit::Unexpected, format!("cannot listen on {addr}{colon}{what}"))
        .layer("OS error", error.to_string())
        .help(help)
}
