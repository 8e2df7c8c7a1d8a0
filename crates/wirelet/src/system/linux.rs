//! Linux.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;

use socket2::{SockRef, Socket, Type};
use tokio::net::TcpStream;

/// Connections that wait for each listener to accept them; as many as with tokio's own.
const BACKLOG: i32 = 1024;

/// Limits what the system takes and has not sent (`TCP_NOTSENT_LOWAT`), bytes. A socket that refuses works as before.
pub(crate) fn limit_unsent(tcp: &TcpStream, bytes: u32) {
    let _ = SockRef::from(tcp).set_tcp_notsent_lowat(bytes);
}

/// Bytes that the system has taken and the peer's system has not acknowledged (`SIOCOUTQ`).
///
/// Why unsafe: the system tells it by `ioctl` alone, or by its list of all sockets (the safe twin below, in tests), which takes
/// the longer the more of them there are.
#[allow(unsafe_code)]
pub(crate) fn unacknowledged(tcp: &TcpStream) -> Option<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open as long as `tcp` is borrowed, and the request writes one int to where it is told.
    let answer = unsafe { libc::ioctl(tcp.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if answer == 0 { u32::try_from(bytes).ok() } else { None }
}

/// So many `more` listeners at the address of `listener`; the system spreads new connections over all of them (`SO_REUSEPORT`).
/// They have its address, protocol, device and `IPV6_V6ONLY`, and none of its other options.
///
/// Why only now, when `listener` listens already: what binds with this option shares the port with all that do, also with
/// another server that was started by mistake. A listener that was bound without it has the port to itself, or was refused.
///
/// # Errors
/// The system's: a process may lack a right that it had when it bound `listener`. Nothing has changed then.
pub(crate) fn listen_beside(listener: &TcpListener, more: usize) -> io::Result<Vec<TcpListener>> {
    let first = SockRef::from(listener);
    if more == 0 {
        return Ok(Vec::new());
    }
    first.set_reuse_port(true)?;
    let bound: io::Result<Vec<_>> = (0..more).map(|_| bind_beside(&first)).collect();
    if bound.is_err() {
        first.set_reuse_port(false)?;
    }
    let listen = |socket: Socket| {
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    // Why not before all are bound: what a listener has been given is lost with it.
    bound?.into_iter().map(listen).collect()
}

fn bind_beside(first: &Socket) -> io::Result<Socket> {
    let address = first.local_addr()?;
    let socket = Socket::new(address.domain(), Type::STREAM, first.protocol()?)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(first.only_v6()?)?;
    }
    if let Some(device) = first.device()? {
        socket.bind_device(Some(&device))?;
    }
    socket.bind(&address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    /// The safe twin of [`unacknowledged`]: the line of the socket in the system's list.
    fn unacknowledged_in_list(tcp: &TcpStream) -> Option<u32> {
        let end = |address: SocketAddr| match address {
            SocketAddr::V4(v4) => {
                format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port())
            }
            SocketAddr::V6(_) => unreachable!("the test uses IPv4"),
        };
        let (local, peer) = (end(tcp.local_addr().ok()?), end(tcp.peer_addr().ok()?));
        let list = std::fs::read_to_string("/proc/net/tcp").ok()?;
        let line = list.lines().find(|line| line.contains(&format!("{local} {peer}")))?;
        let queues = line.split_whitespace().nth(4)?;
        u32::from_str_radix(queues.split(':').next()?, 16).ok()
    }

    #[tokio::test]
    async fn what_the_system_says_by_itself_is_what_its_list_says() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        SockRef::from(&far).set_recv_buffer_size(4096).unwrap();
        limit_unsent(&near, 16 * 1024);
        assert_eq!((unacknowledged(&near), unacknowledged_in_list(&near)), (Some(0), Some(0)));
        let mut written = 0;
        while let Ok(n) = near.try_write(&[7; 10_000]) {
            written += n;
        }
        // What the peer's window lets through may still be on its way: both are asked until they agree.
        let mut agreed = None;
        for _ in 0..1000 {
            let (one, other) = (unacknowledged(&near).unwrap(), unacknowledged_in_list(&near).unwrap());
            if one == other && one > 0 {
                agreed = Some(one);
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert!(agreed.is_some_and(|bytes| bytes as usize <= written), "{agreed:?} of {written}");
    }

    /// A connection to `address` for each of `many`, and how many of them each listener got.
    fn spread(address: SocketAddr, listeners: &[&TcpListener], many: usize) -> Vec<usize> {
        let _open: Vec<_> = (0..many).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let accepted = |listener: &&TcpListener| std::iter::from_fn(|| listener.accept().ok()).count();
        listeners.iter().map(accepted).collect()
    }

    #[test]
    fn listeners_share_connections_and_the_address_with_nobody_else() {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        first.set_nonblocking(true).unwrap();
        let address = first.local_addr().unwrap();
        let before = std::net::TcpStream::connect(address).unwrap();
        let others = listen_beside(&first, 3).unwrap();
        assert!(others.iter().all(|other| other.local_addr().unwrap() == address));
        assert_eq!(first.accept().unwrap().1, before.local_addr().unwrap(), "what came before is not lost");
        let listeners: Vec<_> = others.iter().chain([&first]).collect();
        // One of four gets nothing once in 10^31 times.
        let counts = spread(address, &listeners, 256);
        assert!(counts.iter().all(|count| *count > 0) && counts.iter().sum::<usize>() == 256, "{counts:?}");
        assert_eq!(TcpListener::bind(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    /// What a listener has been given is lost when it is closed, so that none may listen before all can.
    #[test]
    fn a_listener_that_is_refused_leaves_all_as_it_was() {
        let other = Socket::new(socket2::Domain::IPV4, Type::STREAM, None).unwrap();
        other.set_reuse_address(true).unwrap();
        other.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = other.local_addr().unwrap().as_socket().unwrap();
        let first = TcpListener::bind(address).unwrap();
        first.set_nonblocking(true).unwrap();
        // Now it stands in the way of all that bind, and listens to nobody.
        other.set_reuse_address(false).unwrap();
        assert_eq!(listen_beside(&first, 3).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(!SockRef::from(&first).reuse_port().unwrap());
        assert_eq!(spread(address, &[&first], 64), [64]);
    }
}
