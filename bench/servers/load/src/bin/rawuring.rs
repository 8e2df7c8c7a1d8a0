// Floor 2: TCP echo without framing on io_uring: multishot accept, multishot recv with a provided-buffer ring, one send in flight per connection.
use io_uring::{cqueue, opcode, types, IoUring};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU16, Ordering};
fn main() {
    let a: Vec<String> = std::env::args().collect(); let port: u16 = a[1].parse().unwrap();
        let nb: u16 = std::env::var("BUFS").ok().and_then(|s| s.parse().ok()).unwrap_or(1024);
    let bs: usize = std::env::var("BUFSZ").ok().and_then(|s| s.parse().ok()).unwrap_or(16384);
    let l = unsafe { let l = libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0); let one = 1i32; libc::setsockopt(l, libc::SOL_SOCKET, libc::SO_REUSEADDR, &one as *const _ as _, 4);
        libc::setsockopt(l, libc::IPPROTO_TCP, libc::TCP_NODELAY, &one as *const _ as _, 4);
        let sa = libc::sockaddr_in { sin_family: libc::AF_INET as _, sin_port: port.to_be(), sin_addr: libc::in_addr { s_addr: u32::from_be_bytes([127, 0, 0, 1]).to_be() }, sin_zero: [0; 8] };
        assert_eq!(libc::bind(l, &sa as *const _ as _, 16), 0); assert_eq!(libc::listen(l, 4096), 0); l };
    let mut ring: IoUring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_cqsize(16384).build(4096).expect("io_uring_setup");
    let rsz = nb as usize * 16; 
    let rp = unsafe { libc::mmap(std::ptr::null_mut(), rsz, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
    unsafe { ring.submitter().register_buf_ring_with_flags(rp as u64, nb, 0, 0).expect("buf ring") };
    let mut mem = vec![0u8; nb as usize * bs]; let base = mem.as_mut_ptr();
    let ents = rp as *mut types::BufRingEntry; let mut tail: u16 = 0; let mask = nb - 1;
    let tailp = unsafe { types::BufRingEntry::tail(ents) as *const AtomicU16 };
    let add = |bid: u16, tail: &mut u16| unsafe { let e = &mut *ents.add((*tail & mask) as usize); e.set_addr(base.add(bid as usize * bs) as u64); e.set_len(bs as u32); e.set_bid(bid); *tail = tail.wrapping_add(1); };
    for b in 0..nb { add(b, &mut tail); } unsafe { (*tailp).store(tail, Ordering::Release); }
    struct C { q: VecDeque<(u16, u32, u32)>, sending: bool, gen: u32 }
    let mut cs: Vec<C> = Vec::new(); let mut starved: Vec<i32> = Vec::new();
    const ACC: u64 = 1 << 60; const RCV: u64 = 2 << 60; const SND: u64 = 3 << 60;
    macro_rules! push { ($e:expr) => { loop { let r = unsafe { ring.submission().push(&$e) }; if r.is_ok() { break; } ring.submit().unwrap(); } } }
    push!(opcode::AcceptMulti::new(types::Fd(l)).build().user_data(ACC));
    let mut batch: Vec<(u64, i32, u32)> = Vec::with_capacity(16384);
    loop {
        match ring.submit_and_wait(1) { Ok(_) => {}, Err(e) if e.raw_os_error() == Some(libc::EINTR) => continue, Err(e) => panic!("{e}") }
        batch.clear(); for c in ring.completion() { batch.push((c.user_data(), c.result(), c.flags())); }
        let t0 = tail;
        for &(ud, res, fl) in &batch {
            let fd = (ud & 0xffff_ffff) as i32;
            match ud & (7 << 60) {
                ACC => { if res >= 0 { let f = res as usize; if cs.len() <= f { cs.resize_with(f + 1, || C { q: VecDeque::new(), sending: false, gen: 0 }); } cs[f].q.clear(); cs[f].sending = false; cs[f].gen += 1;
                        push!(opcode::RecvMulti::new(types::Fd(res), 0).build().user_data(RCV | res as u64)); }
                    if !cqueue::more(fl) { push!(opcode::AcceptMulti::new(types::Fd(l)).build().user_data(ACC)); } }
                RCV => {
                    if res > 0 { let bid = cqueue::buffer_select(fl).unwrap(); let c = &mut cs[fd as usize]; c.q.push_back((bid, 0, res as u32));
                        if !c.sending { c.sending = true; push!(opcode::Send::new(types::Fd(fd), unsafe { base.add(bid as usize * bs) }, res as u32).flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL).build().user_data(SND | fd as u64)); }
                        if !cqueue::more(fl) { push!(opcode::RecvMulti::new(types::Fd(fd), 0).build().user_data(RCV | fd as u64)); } }
                    else if res == -libc::ENOBUFS { starved.push(fd); }
                    else { if let Some(b) = cqueue::buffer_select(fl) { add(b, &mut tail); } let c = &mut cs[fd as usize]; if !c.sending { while let Some((b, _, _)) = c.q.pop_front() { add(b, &mut tail); } } unsafe { libc::close(fd); } }
                }
                _ => { let c = &mut cs[fd as usize]; if let Some((bid, off, len)) = c.q.pop_front() {
                        if res > 0 && off + (res as u32) < len { let o = off + res as u32; c.q.push_front((bid, o, len)); push!(opcode::Send::new(types::Fd(fd), unsafe { base.add(bid as usize * bs + o as usize) }, len - o).flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL).build().user_data(SND | fd as u64)); continue; }
                        add(bid, &mut tail);
                        if res < 0 { while let Some((b, _, _)) = c.q.pop_front() { add(b, &mut tail); } }
                        if let Some(&(b, _, n)) = c.q.front() { push!(opcode::Send::new(types::Fd(fd), unsafe { base.add(b as usize * bs) }, n).flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL).build().user_data(SND | fd as u64)); } else { c.sending = false; } } else { c.sending = false; } }
            }
        }
        if tail != t0 { unsafe { (*tailp).store(tail, Ordering::Release); } if !starved.is_empty() { let v = std::mem::take(&mut starved); for fd in v { push!(opcode::RecvMulti::new(types::Fd(fd), 0).build().user_data(RCV | fd as u64)); } } }
    }
}
