// Load generator: one thread, epoll (level triggered), pre-built masked frames.
// lg --mode echo|raw|idle|bcast|rawbcast|deflate --port P --conns C --inflight W --size S --secs T --warm T --pid PID
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

fn rdtsc() -> u64 { unsafe { core::arch::x86_64::_rdtsc() } }
fn tsc_hz() -> f64 {
    let (a, i) = (rdtsc(), Instant::now());
    std::thread::sleep(Duration::from_millis(30));
    (rdtsc() - a) as f64 / i.elapsed().as_secs_f64()
}
/// on-CPU nanoseconds of all threads of a process (schedstat), and utime/stime ticks
fn cpu_ns(pid: u32) -> u64 {
    let mut t = 0;
    if let Ok(d) = std::fs::read_dir(format!("/proc/{pid}/task")) {
        for e in d.flatten() {
            if let Ok(s) = std::fs::read_to_string(e.path().join("schedstat")) {
                t += s.split_whitespace().next().and_then(|x| x.parse::<u64>().ok()).unwrap_or(0);
            }
        }
    }
    t
}
fn rss_kb(pid: u32) -> u64 {
    let s = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    s.lines().find(|l| l.starts_with("VmRSS")).and_then(|l| l.split_whitespace().nth(1)).and_then(|x| x.parse().ok()).unwrap_or(0)
}

/// host throttling shows as both vCPUs frozen for ~8.6 ms of every 10 ms, charged to the guest as CPU time.
/// Every event calls tick(); a step longer than 2 ms counts as frozen (or preempted) time.
static mut LAST: u64 = 0; static mut GAP: u64 = 0; static mut THR: u64 = u64::MAX;
#[inline(always)] fn tick(n: u64) { unsafe { let d = n.wrapping_sub(LAST); if d > THR && LAST != 0 { GAP += d; } LAST = n; } }
struct Hist { b: Vec<u64>, n: u64 }
impl Hist {
    fn new() -> Self { Hist { b: vec![0; 64 * 64], n: 0 } }
    fn idx(v: u64) -> usize { if v < 64 { v as usize } else { let e = 63 - v.leading_zeros() as usize; ((e - 5) << 6) + ((v >> (e - 6)) as usize & 63) } }
    fn val(i: usize) -> u64 { if i < 64 { i as u64 } else { let e = (i >> 6) + 5; ((64 + (i & 63)) as u64) << (e - 6) } }
    fn add(&mut self, v: u64) { self.b[Self::idx(v)] += 1; self.n += 1; }
    fn pct(&self, p: f64) -> u64 {
        let want = (self.n as f64 * p).ceil() as u64; let mut c = 0;
        for (i, x) in self.b.iter().enumerate() { c += x; if c >= want && c > 0 { return Self::val(i); } }
        0
    }
}

struct Conn { fd: RawFd, out_pos: usize, out_left: usize, // position within the repeating frame buffer
    hdr: [u8; 14], hlen: usize, need: usize, plen: usize, got: usize, fin: bool, ctl: bool,
    ts: Vec<u64>, head: usize, tail: usize, pollout: bool }

fn sock(port: u16) -> RawFd {
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 { panic!("socket: {}", std::io::Error::last_os_error()); }
        let one = 1i32;
        libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &one as *const _ as _, 4);
        let a = libc::sockaddr_in { sin_family: libc::AF_INET as _, sin_port: port.to_be(), sin_addr: libc::in_addr { s_addr: u32::from_be_bytes([127, 0, 0, 1]).to_be() }, sin_zero: [0; 8] };
        if libc::connect(fd, &a as *const _ as _, 16) != 0 { panic!("connect: {}", std::io::Error::last_os_error()); }
        fd
    }
}
fn nonblock(fd: RawFd) { unsafe { let f = libc::fcntl(fd, libc::F_GETFL); libc::fcntl(fd, libc::F_SETFL, f | libc::O_NONBLOCK); } }
fn wr_all(fd: RawFd, mut b: &[u8]) { while !b.is_empty() { let n = unsafe { libc::send(fd, b.as_ptr() as _, b.len(), libc::MSG_NOSIGNAL) }; if n <= 0 { panic!("write: {}", std::io::Error::last_os_error()); } b = &b[n as usize..]; } }
fn rd(fd: RawFd, b: &mut [u8]) -> isize { unsafe { libc::recv(fd, b.as_mut_ptr() as _, b.len(), 0) } }

fn request(port: u16, deflate: bool) -> Vec<u8> {
    format!("GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{}\r\n",
        if deflate { "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n" } else { "" }).into_bytes()
}
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
fn find(h: &[u8], n: &[u8]) -> Option<usize> { h.windows(n.len()).position(|w| w == n) }
/// blocking read of the response head, checks 101 + accept; returns the head
fn read_head(fd: RawFd) -> String {
    let mut v = Vec::new(); let mut b = [0u8; 1];
    let mut big = [0u8; 4096];
    loop {
        let n = unsafe { libc::recv(fd, big.as_mut_ptr() as _, big.len(), libc::MSG_PEEK) };
        if n <= 0 { panic!("handshake: eof/err {}", std::io::Error::last_os_error()); }
        if let Some(p) = find(&big[..n as usize], b"\r\n\r\n") { let mut x = vec![0u8; p + 4]; let k = rd(fd, &mut x); assert_eq!(k as usize, p + 4); v.extend_from_slice(&x); break; }
        std::thread::yield_now();
        let _ = &mut b;
    }
    assert!(v.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&v));
    assert!(find(&v, ACCEPT).is_some(), "accept key: {}", String::from_utf8_lossy(&v));
    String::from_utf8_lossy(&v).into_owned()
}
fn frame(payload: &[u8], op: u8, rsv1: bool) -> Vec<u8> {
    let mut f = vec![0x80 | op | if rsv1 { 0x40 } else { 0 }];
    let n = payload.len();
    if n < 126 { f.push(0x80 | n as u8) } else if n < 65536 { f.push(0x80 | 126); f.extend((n as u16).to_be_bytes()) } else { f.push(0x80 | 127); f.extend((n as u64).to_be_bytes()) }
    let m = [0x37u8, 0xfa, 0x21, 0x3d]; f.extend(m);
    f.extend(payload.iter().enumerate().map(|(i, b)| b ^ m[i & 3])); f
}
/// blocking read of one message (reassembles fragments), returns (first byte, payload)
fn read_msg(fd: RawFd) -> (u8, Vec<u8>) {
    fn ex(fd: RawFd, n: usize) -> Vec<u8> { let mut v = vec![0; n]; let mut o = 0; while o < n { let k = rd(fd, &mut v[o..]); if k <= 0 { panic!("read {}", std::io::Error::last_os_error()); } o += k as usize; } v }
    let mut first = None; let mut out = Vec::new();
    loop {
        let h = ex(fd, 2); let mut l = (h[1] & 127) as usize; assert_eq!(h[1] & 128, 0, "masked server frame");
        if l == 126 { let x = ex(fd, 2); l = u16::from_be_bytes([x[0], x[1]]) as usize } else if l == 127 { let x = ex(fd, 8); l = u64::from_be_bytes(x.try_into().unwrap()) as usize }
        let p = ex(fd, l);
        if h[0] & 15 >= 8 { continue; }
        first.get_or_insert(h[0]); out.extend(p);
        if h[0] & 0x80 != 0 { return (first.unwrap(), out); }
    }
}
fn payload(n: usize) -> Vec<u8> { let mut x = 88172645463325252u64; (0..n).map(|_| { x ^= x << 13; x ^= x >> 7; x ^= x << 17; x as u8 }).collect() }
fn json1k() -> Vec<u8> {
    let mut s = String::from("{\"type\":\"telemetry\",\"items\":[");
    let mut i = 0; let mut x = 12345u32;
    while s.len() < 980 { x = x.wrapping_mul(1664525).wrapping_add(1013904223); if i > 0 { s.push(',') } s += &format!("{{\"id\":{},\"temp\":{}.{},\"ok\":{}}}", 1000 + i, 18 + (x >> 28), (x >> 20) & 63, x & 1024 == 0); i += 1; }
    s += "]}"; while s.len() < 1024 { s.push(' ') } s.truncate(1024); s.into_bytes()
}
fn inflate(b: &[u8]) -> Vec<u8> { use std::io::Read; let mut v = b.to_vec(); v.extend([0, 0, 0xff, 0xff]); let mut d = flate2::Decompress::new(false); let mut o = vec![0u8; 1 << 20]; d.decompress(&v, &mut o, flate2::FlushDecompress::Sync).unwrap(); let n = d.total_out() as usize; o.truncate(n); let _: &dyn Read = &std::io::empty(); o }
fn deflate(b: &[u8]) -> Vec<u8> { let mut c = flate2::Compress::new(flate2::Compression::new(6), false); let mut o = vec![0u8; b.len() * 2 + 100]; c.compress(b, &mut o, flate2::FlushCompress::Sync).unwrap(); let n = c.total_out() as usize; o.truncate(n); assert!(o.ends_with(&[0, 0, 0xff, 0xff])); o.truncate(n - 4); o }

fn main() {
    let a: Vec<String> = std::env::args().collect();
    let mut m: HashMap<String, String> = HashMap::new();
    let mut i = 1; while i + 1 < a.len() { m.insert(a[i].trim_start_matches("--").into(), a[i + 1].clone()); i += 2; }
    let g = |k: &str, d: &str| m.get(k).cloned().unwrap_or(d.into());
    let mode = g("mode", "echo"); let port: u16 = g("port", "9001").parse().unwrap();
    let c: usize = g("conns", "1").parse().unwrap(); let w: usize = g("inflight", "1").parse().unwrap();
    let s: usize = g("size", "20").parse().unwrap(); let secs: f64 = g("secs", "1").parse().unwrap(); let warm: f64 = g("warm", "0.3").parse().unwrap();
    let pid: u32 = g("pid", "0").parse().unwrap();
    let raw = mode == "raw" || mode == "rawbcast" || mode == "rawidle"; let defl = mode == "deflate";
    let text = g("text", "0") == "1";
    if mode == "idle" || mode == "rawidle" { return idle(port, c, pid, raw); }
    let bc = mode == "bcast" || mode == "rawbcast";
    let pl = if defl { json1k() } else if text { json1k()[..s.min(1024)].to_vec() } else { payload(s) };
    let fr = if defl { frame(&deflate(&pl), 1, true) } else { frame(&pl, if text { 1 } else { 2 }, false) };
    let s = pl.len();
    let rawlen = fr.len();
    // connect
    let mut conns: Vec<Conn> = Vec::with_capacity(c); let mut ext = String::new(); let mut avg_reply = s;
    for k in 0..c {
        let fd = sock(port);
        if !raw {
            wr_all(fd, &request(port, defl)); let h = read_head(fd);
            if k == 0 { if let Some(l) = h.lines().find(|l| l.to_ascii_lowercase().starts_with("sec-websocket-extensions")) { ext = l.to_string(); } }
        }
        if k == 0 && !bc { // content check, three messages
            for _ in 0..3 { wr_all(fd, &fr);
                if raw { let mut v = vec![0; rawlen]; let mut o = 0; while o < rawlen { let n = rd(fd, &mut v[o..]); assert!(n > 0); o += n as usize; } assert!(v == fr, "raw content"); }
                else { let (b0, p) = read_msg(fd); if defl { avg_reply = p.len(); if b0 & 0x40 != 0 { assert!(inflate(&p) == pl, "deflated content"); } else { eprintln!("note: reply not compressed"); assert!(p == pl); } } else { assert!(p == pl, "content differs"); } } }
        }
        nonblock(fd);
        conns.push(Conn { fd, out_pos: 0, out_left: 0, hdr: [0; 14], hlen: 0, need: 0, plen: 0, got: 0, fin: false, ctl: false, ts: vec![0; w + 1], head: 0, tail: 0, pollout: false });
    }
    // repeating buffer of W frames (bounded to 4 MiB)
    let reps = if bc { 1 } else { w.min((4 << 20) / fr.len()).max(1) };
    let mut out = Vec::with_capacity(fr.len() * reps); for _ in 0..reps { out.extend_from_slice(&fr); }
    let ep = unsafe { libc::epoll_create1(0) };
    for (k, cn) in conns.iter().enumerate() { let mut ev = libc::epoll_event { events: libc::EPOLLIN as u32, u64: k as u64 }; unsafe { libc::epoll_ctl(ep, libc::EPOLL_CTL_ADD, cn.fd, &mut ev); } }
    let hz = tsc_hz();
    let mut hist = Hist::new(); let mut msgs = 0u64; let mut rbuf = vec![0u8; 1 << 19];
    let mut evs: Vec<libc::epoll_event> = vec![libc::epoll_event { events: 0, u64: 0 }; 1024];
    fn flush(cn: &mut Conn, out: &[u8], ep: RawFd, k: usize) {
        while cn.out_left > 0 {
            let n = cn.out_left.min(out.len() - cn.out_pos);
            let r = unsafe { libc::send(cn.fd, out[cn.out_pos..].as_ptr() as _, n, libc::MSG_NOSIGNAL) };
            if r < 0 { let e = std::io::Error::last_os_error(); if e.kind() == std::io::ErrorKind::WouldBlock { if !cn.pollout { cn.pollout = true; let mut ev = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLOUT) as u32, u64: k as u64 }; unsafe { libc::epoll_ctl(ep, libc::EPOLL_CTL_MOD, cn.fd, &mut ev); } } return; } panic!("send {e}"); }
            cn.out_left -= r as usize; cn.out_pos += r as usize; if cn.out_pos == out.len() { cn.out_pos = 0; }
        }
        if cn.pollout { cn.pollout = false; let mut ev = libc::epoll_event { events: libc::EPOLLIN as u32, u64: k as u64 }; unsafe { libc::epoll_ctl(ep, libc::EPOLL_CTL_MOD, cn.fd, &mut ev); } }
    }
    let flen = fr.len();
    let push = |cn: &mut Conn, n: usize, t: u64| { let cap = cn.ts.len(); for _ in 0..n { cn.ts[cn.tail] = t; cn.tail = (cn.tail + 1) % cap; } cn.out_left += n * flen; };
    let t0 = rdtsc();
    let (mut published, mut delivered) = (0u64, 0u64);
    if bc { for _ in 0..w { let t = rdtsc(); push(&mut conns[0], 1, t); published += 1; } flush(&mut conns[0], &out, ep, 0); }
    else { for k in 0..c { push(&mut conns[k], w, rdtsc()); flush(&mut conns[k], &out, ep, k); } }
    let start_meas = t0 + (warm * hz) as u64; let end = start_meas + (secs * hz) as u64;
    let mut measuring = false; let (mut m_start, mut cpu0, mut my0) = (t0, 0, 0);
    let me = std::process::id();
    let mut last_progress = t0; let busy = g("busy", "1") == "1"; unsafe { THR = (hz * 0.002) as u64; LAST = 0; GAP = 0; }
    'main: loop {
        let n = unsafe { libc::epoll_wait(ep, evs.as_mut_ptr(), 1024, if busy { 0 } else { 1000 }) };
        let now = rdtsc(); tick(now);
        if !measuring && now >= start_meas { measuring = true; hist = Hist::new(); msgs = 0; delivered = if bc { delivered } else { 0 }; m_start = now; cpu0 = cpu_ns(pid); my0 = cpu_ns(me); unsafe { GAP = 0; } }
        if measuring && now >= end { break 'main; }
        if n <= 0 { if (now - last_progress) as f64 / hz > 5.0 { println!("STALL mode={mode} conns={c} inflight={w} size={s} msgs={msgs} published={published} delivered={delivered}"); std::process::exit(3); } continue; }
        for e in &evs[..n as usize] { tick(rdtsc());
            let k = e.u64 as usize; let ev = e.events; let cn = &mut conns[k];
            if ev & libc::EPOLLIN as u32 != 0 || ev & (libc::EPOLLERR | libc::EPOLLHUP) as u32 != 0 {
                let r = rd(cn.fd, &mut rbuf);
                if r == 0 { println!("EOF mode={mode} conns={c} inflight={w} size={s} after msgs={msgs}"); std::process::exit(4); }
                if r < 0 { let er = std::io::Error::last_os_error(); if er.kind() == std::io::ErrorKind::WouldBlock { continue; } println!("ERR {er}"); std::process::exit(4); }
                let b = &rbuf[..r as usize]; let mut done = 0usize;
                if raw { cn.got += b.len(); done = cn.got / rawlen; cn.got %= rawlen; }
                else {
                    let mut p = 0; 
                    loop {
                        if cn.need > 0 { let t = cn.need.min(b.len() - p); cn.need -= t; p += t; if !cn.ctl { cn.got += t; } if cn.need > 0 { break; } 
                            if !cn.ctl && cn.fin { if !defl && cn.got != s { println!("BAD size {} != {s}", cn.got); std::process::exit(5); } cn.got = 0; done += 1; } cn.hlen = 0; }
                        if p >= b.len() { break; }
                        // header
                        let mut hl = 2; 
                        while cn.hlen < hl && p < b.len() { cn.hdr[cn.hlen] = b[p]; cn.hlen += 1; p += 1; if cn.hlen >= 2 { hl = match cn.hdr[1] & 127 { 126 => 4, 127 => 10, _ => 2 }; } }
                        if cn.hlen < 2 || cn.hlen < hl { break; }
                        let h = &cn.hdr; if h[1] & 0x80 != 0 || h[0] & 0x30 != 0 { println!("BAD header {:02x} {:02x}", h[0], h[1]); std::process::exit(5); }
                        cn.plen = match h[1] & 127 { 126 => u16::from_be_bytes([h[2], h[3]]) as usize, 127 => u64::from_be_bytes(h[2..10].try_into().unwrap()) as usize, x => x as usize };
                        cn.fin = h[0] & 0x80 != 0; cn.ctl = h[0] & 8 != 0; cn.need = cn.plen; cn.hlen = 0;
                        if h[0] & 15 == 8 { println!("CLOSE from server conns={c} inflight={w} size={s} after {msgs}"); std::process::exit(5); }
                        if cn.need == 0 { if !cn.ctl && cn.fin { if !defl && cn.got != s { println!("BAD size"); std::process::exit(5); } cn.got = 0; done += 1; } }
                    }
                }
                if done > 0 {
                    let t = rdtsc(); last_progress = t;
                    if bc { delivered += done as u64; msgs += done as u64;
                        if k == 0 { let cap = cn.ts.len(); for _ in 0..done { if cn.head != cn.tail { hist.add(t - cn.ts[cn.head]); cn.head = (cn.head + 1) % cap; } } } }
                    else { let cap = cn.ts.len(); for _ in 0..done { hist.add(t - cn.ts[cn.head]); cn.head = (cn.head + 1) % cap; } msgs += done as u64; push(cn, done, t); flush(cn, &out, ep, k); }
                }
            }
            if ev & libc::EPOLLOUT as u32 != 0 { flush(&mut conns[k], &out, ep, k); }
        }
        if bc { let full = delivered / c as u64; let mut sent = false; while published - full < w as u64 { push(&mut conns[0], 1, rdtsc()); published += 1; sent = true; } if sent { flush(&mut conns[0], &out, ep, 0); } }
    }
    let el = (rdtsc() - m_start) as f64 / hz; let cpu = cpu_ns(pid).saturating_sub(cpu0) as f64; let mycpu = (cpu_ns(me) - my0) as f64;
    let gap = if busy { unsafe { GAP as f64 / hz } } else { 0.0 }; let us = |v: u64| v as f64 / hz * 1e6;
    println!("{{\"messages\":{msgs},\"seconds\":{el:.6},\"frozen_seconds\":{gap:.6},\"server_cpu_seconds\":{:.9},\"load_cpu_seconds\":{:.6},\"p50_us\":{:.2},\"p99_us\":{:.2},\"p999_us\":{:.2},\"max_us\":{:.2},\"answer_bytes\":{avg_reply},\"extensions\":{:?}}}",
        cpu / 1e9, mycpu / 1e9, us(hist.pct(0.5)), us(hist.pct(0.99)), us(hist.pct(0.999)), us(hist.pct(1.0)), ext.trim());
}

fn idle(port: u16, n: usize, pid: u32, raw: bool) {
    // warm: 50 conns opened and closed so that one-time allocations are not counted
    for _ in 0..50 { let fd = sock(port); if !raw { wr_all(fd, &request(port, false)); read_head(fd); } else { wr_all(fd, b"x"); let mut b = [0u8; 1]; rd(fd, &mut b); } unsafe { libc::close(fd); } }
    std::thread::sleep(Duration::from_millis(300));
    let r0 = rss_kb(pid); let cpu0 = cpu_ns(pid);
    let req = request(port, false); let mut fds = Vec::with_capacity(n);
    let t = Instant::now();
    // batches of 64: connect+send all, then read all heads
    while fds.len() < n { let k = 64.min(n - fds.len()); let base = fds.len(); for _ in 0..k { let fd = sock(port); wr_all(fd, if raw { b"x" } else { &req }); fds.push(fd); } for i in base..base + k { if raw { let mut b = [0u8; 1]; assert_eq!(rd(fds[i], &mut b), 1); } else { read_head(fds[i]); } } }
    let el = t.elapsed().as_secs_f64(); let cpu = cpu_ns(pid) - cpu0;
    std::thread::sleep(Duration::from_millis(700));
    let r1 = rss_kb(pid);
    let p = payload(512); let fr = frame(&p, 2, false);
    for &fd in &fds { wr_all(fd, &fr); if raw { let mut o = 0; let mut b = [0u8; 1024]; while o < fr.len() { let k = rd(fd, &mut b); assert!(k > 0); o += k as usize; } } else { let (_, q) = read_msg(fd); assert!(q == p); } }
    std::thread::sleep(Duration::from_millis(700));
    let r2 = rss_kb(pid);
    let big = payload(65536); let fb = frame(&big, 2, false); let mut vb = vec![0u8; fb.len()];
    for &fd in fds.iter().take(1000) { wr_all(fd, &fb); if raw { let mut o = 0; while o < fb.len() { let k = rd(fd, &mut vb[o..]); assert!(k > 0); o += k as usize; } } else { let (_, q) = read_msg(fd); assert!(q == big); } }
    std::thread::sleep(Duration::from_millis(700));
    let r3 = rss_kb(pid);
    println!("I conns={n} base_rss_kb={r0} rss_kb={r1} B_per_conn={:.0} after512B_B_per_conn={:.0} after64K_B_per_conn1000={:.0} hs_per_s={:.0} cpu_us_hs={:.2}", (r1 as f64 - r0 as f64) * 1024.0 / n as f64, (r2 as f64 - r0 as f64) * 1024.0 / n as f64, (r3 as f64 - r2 as f64) * 1024.0 / 1000.0, n as f64 / el, cpu as f64 / 1e3 / n as f64);
}
