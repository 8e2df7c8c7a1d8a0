// Floor 1: TCP echo without any framing, epoll level-triggered, one thread. args: PORT [bcast FRAMELEN OUTLEN]
use std::os::fd::RawFd;
fn main() { unsafe {
    let a: Vec<String> = std::env::args().collect(); let port: u16 = a[1].parse().unwrap();
    let bcast = a.get(2).map(|s| s == "bcast").unwrap_or(false);
        let l = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0); let one = 1i32;
    libc::setsockopt(l, libc::SOL_SOCKET, libc::SO_REUSEADDR, &one as *const _ as _, 4);
    let sa = libc::sockaddr_in { sin_family: libc::AF_INET as _, sin_port: port.to_be(), sin_addr: libc::in_addr { s_addr: u32::from_be_bytes([127, 0, 0, 1]).to_be() }, sin_zero: [0; 8] };
    assert_eq!(libc::bind(l, &sa as *const _ as _, 16), 0); assert_eq!(libc::listen(l, 4096), 0);
    let ep = libc::epoll_create1(0); let mut ev = libc::epoll_event { events: libc::EPOLLIN as u32, u64: l as u64 }; libc::epoll_ctl(ep, libc::EPOLL_CTL_ADD, l, &mut ev);
    let mut evs = vec![libc::epoll_event { events: 0, u64: 0 }; 1024]; let mut buf = vec![0u8; 1 << 19];
    let mut pend: Vec<(Vec<u8>, usize)> = Vec::new(); let mut fds: Vec<RawFd> = Vec::new(); let mut acc = 0usize;
    let mut of = vec![0x82u8, 64]; of.extend([7u8; 64]); let mut outf = Vec::new(); for _ in 0..64 { outf.extend_from_slice(&of); }
    loop {
        let n = libc::epoll_wait(ep, evs.as_mut_ptr(), 1024, -1);
        for i in 0..n.max(0) as usize { let fd = evs[i].u64 as RawFd; let e = evs[i].events;
            if fd == l { loop { let c = libc::accept4(l, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_NONBLOCK); if c < 0 { break; } libc::setsockopt(c, libc::IPPROTO_TCP, libc::TCP_NODELAY, &one as *const _ as _, 4);
                if pend.len() <= c as usize { pend.resize(c as usize + 1, (Vec::new(), 0)); } pend[c as usize] = (Vec::new(), 0); fds.push(c);
                let mut ev = libc::epoll_event { events: libc::EPOLLIN as u32, u64: c as u64 }; libc::epoll_ctl(ep, libc::EPOLL_CTL_ADD, c, &mut ev); } continue; }
            let p = &mut pend[fd as usize];
            if e & libc::EPOLLOUT as u32 != 0 { let r = libc::send(fd, p.0[p.1..].as_ptr() as _, p.0.len() - p.1, libc::MSG_NOSIGNAL); if r > 0 { p.1 += r as usize; if p.1 == p.0.len() { p.0.clear(); p.1 = 0; let mut ev = libc::epoll_event { events: libc::EPOLLIN as u32, u64: fd as u64 }; libc::epoll_ctl(ep, libc::EPOLL_CTL_MOD, fd, &mut ev); } } }
            if e & libc::EPOLLIN as u32 != 0 && p.0.is_empty() {
                let r = libc::recv(fd, buf.as_mut_ptr() as _, buf.len(), 0);
                if r <= 0 { if r == 0 || *libc::__errno_location() != libc::EAGAIN { libc::close(fd); fds.retain(|x| *x != fd); } continue; }
                let r = r as usize;
                if bcast { acc += r; let k = (acc / 70).min(64); acc -= k * 70; if k > 0 { for &f in &fds { libc::send(f, outf.as_ptr() as _, k * 66, libc::MSG_NOSIGNAL); } } continue; }
                let w = libc::send(fd, buf.as_ptr() as _, r, libc::MSG_NOSIGNAL); let w = if w < 0 { 0 } else { w as usize };
                if w < r { p.0.extend_from_slice(&buf[w..r]); p.1 = 0; let mut ev = libc::epoll_event { events: libc::EPOLLOUT as u32, u64: fd as u64 }; libc::epoll_ctl(ep, libc::EPOLL_CTL_MOD, fd, &mut ev); }
            }
            if e & (libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0 && e & libc::EPOLLIN as u32 == 0 { libc::close(fd); fds.retain(|x| *x != fd); }
        }
    }
} }
