//! Linux.

use std::os::fd::AsRawFd;

use socket2::SockRef;
use tokio::net::TcpStream;

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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::net::TcpListener;

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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
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
}
