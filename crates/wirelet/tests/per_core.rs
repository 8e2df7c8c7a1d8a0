//! One server on several threads: connections are spread over them, and they are one server in everything else.

mod peer;
mod running;

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use peer::*;
use running::*;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use wirelet::server::{Capacity, Context, Page, Router, Server, ws};
use wirelet::{CloseCode, Error, Message, WebSocket};

const THREADS: usize = 4;
/// As many connections as are surely not all on one thread: it happens once in 4^63 times.
const MANY: usize = 64;

async fn per_core_with(router: Router, change: impl FnOnce(Server) -> Server) -> Running {
    let server = change(Server::bind("127.0.0.1:0").await.unwrap());
    per_core(server, router)
}

fn per_core(server: Server, router: Router) -> Running {
    let (address, handle) = (server.local_addr().unwrap(), server.handle());
    Running { address, handle, task: tokio::spawn(server.serve_per_core(THREADS, router)) }
}

/// Says on which thread it runs, then echoes.
async fn which_thread(mut ws: WebSocket, context: Context) -> Result<(), Error> {
    ws.send(thread_name()).await?;
    echo(ws, context).await
}

fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

fn routes() -> Router {
    Router::new().ws("/which", ws(which_thread)).ws("/echo", ws(echo)).page("/", Page::html("x"))
}

/// Connections to `/which` until there is one on each of `threads` threads, with the threads' names; at least one on each.
async fn spread(running: &Running, threads: usize) -> Vec<(String, TcpStream)> {
    let (mut open, mut names) = (Vec::new(), HashSet::new());
    while names.len() < threads {
        // With four threads each has one after that many, but for 4 * 0.75^400 of all times.
        assert!(open.len() < 400, "{} connections on {names:?}", open.len());
        let mut stream = running.open("/which").await;
        let (kind, name) = read_frame(&mut stream).await.unwrap();
        assert_eq!(kind, TEXT);
        let name = String::from_utf8(name).unwrap();
        names.insert(name.clone());
        open.push((name, stream));
    }
    open
}

async fn assert_echoes(stream: &mut TcpStream) {
    write(stream, &client_frame(TEXT, b"hello")).await;
    assert_eq!(read_frame(stream).await.unwrap(), (TEXT, b"hello".to_vec()));
}

#[tokio::test]
async fn connections_are_spread_over_threads_and_stay_where_they_are() {
    let running = per_core_with(routes(), |server| server).await;
    let mut open = spread(&running, THREADS).await;
    let names: HashSet<_> = open.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, (0..THREADS).map(|thread| format!("wirelet-{thread}")).collect());
    for (_, stream) in &mut open {
        assert_echoes(stream).await;
    }
    assert_eq!(running.ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.0, 200);
}

/// The port that was chosen is the port of all, for IPv4 on an IPv6 socket too.
#[tokio::test]
async fn a_listener_of_both_families_is_one_on_all_threads() {
    let Ok(server) = Server::bind("[::]:0").await else { return };
    let mut running = per_core(server, routes());
    running.address = ([127, 0, 0, 1], running.address.port()).into();
    spread(&running, 2).await;
    running.address = (std::net::Ipv6Addr::LOCALHOST, running.address.port()).into();
    spread(&running, 2).await;
}

#[tokio::test]
async fn the_handle_reaches_the_connections_of_all_threads() {
    let running = per_core_with(routes(), |server| server).await;
    let mut open = spread(&running, 2).await;
    let handle = &running.handle;
    assert_eq!(handle.count(), open.len());
    let ids: HashSet<_> = handle.connections().iter().map(|info| info.id).collect();
    assert_eq!(ids.len(), open.len());
    for n in 0..3_u8 {
        assert_eq!(handle.broadcast(Message::from(vec![n; 3])), open.len());
    }
    for (_, stream) in &mut open {
        for n in 0..3_u8 {
            assert_eq!(read_frame(stream).await.unwrap(), (BINARY, vec![n; 3]));
        }
    }
    // By number: each gets a text of its own.
    for info in handle.connections() {
        handle.try_send(info.id, info.peer.unwrap().to_string()).unwrap();
    }
    for (_, stream) in &mut open {
        let own = stream.local_addr().unwrap().to_string();
        assert_eq!(read_frame(stream).await.unwrap(), (TEXT, own.into_bytes()));
    }
    for info in handle.connections() {
        handle.close(info.id, CloseCode::POLICY_VIOLATION, "").unwrap();
    }
    for (_, stream) in &mut open {
        assert_eq!(read_frame(stream).await.unwrap(), (CLOSE, close_payload(1008).to_vec()));
    }
}

/// A handler that broadcasts has receivers on its own thread and on others.
#[tokio::test]
async fn a_handler_broadcasts_to_all_threads() {
    let shout = |mut ws: WebSocket, context: Context| async move {
        while let Some(message) = ws.recv().await? {
            context.server().broadcast(message);
        }
        Ok::<_, Error>(())
    };
    let running = per_core_with(routes().ws("/shout", ws(shout)), |server| server).await;
    let mut open = spread(&running, THREADS).await;
    let mut shouting = running.open("/shout").await;
    for round in 0..10 {
        let text = format!("round {round}").into_bytes();
        write(&mut shouting, &client_frame(TEXT, &text)).await;
        assert_eq!(read_frame(&mut shouting).await.unwrap(), (TEXT, text.clone()));
        for (_, stream) in &mut open {
            assert_eq!(read_frame(stream).await.unwrap(), (TEXT, text.clone()));
        }
    }
}

#[tokio::test]
async fn capacity_counts_the_connections_of_all_threads() {
    let capacity = Capacity { connections: MANY, ..Capacity::default() };
    let running = per_core_with(routes(), |server| server.capacity(capacity)).await;
    let mut open = Vec::new();
    for _ in 0..MANY {
        open.push(running.open("/echo").await);
    }
    for _ in 0..10 {
        assert_eq!(running.ask(&upgrade_request("/echo", "")).await.0, 503);
    }
    for stream in &mut open {
        assert_echoes(stream).await;
    }
}

/// Counts the threads on which a handler has run and that have ended.
struct Ending(Arc<AtomicUsize>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    static ENDING: std::cell::RefCell<Option<Ending>> = const { std::cell::RefCell::new(None) };
}

#[tokio::test]
async fn a_stop_closes_all_connections_and_ends_all_threads() {
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let counted = move |ws: WebSocket, context: Context| {
        ENDING.with_borrow_mut(|ending| _ = ending.get_or_insert_with(|| Ending(Arc::clone(&count))));
        which_thread(ws, context)
    };
    let router = Router::new().ws("/which", ws(counted));
    let until = async { _ = stopped.await };
    let mut running = per_core_with(router, |server| server.shutdown_on(until)).await;
    let open = spread(&running, THREADS).await;
    let mut silent = running.connect().await;
    stop.send(()).unwrap();
    for (_, mut stream) in open {
        assert_eq!(read_frame(&mut stream).await.unwrap(), (CLOSE, close_payload(1001).to_vec()));
        write(&mut stream, &client_frame(CLOSE, &close_payload(1001))).await;
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    }
    (&mut running.task).await.unwrap().unwrap();
    assert_eq!(ended.load(Ordering::Relaxed), THREADS);
    assert_eq!(running.handle.count(), 0);
    // The end of a stream, or a reset where it was never accepted.
    assert!(silent.read(&mut [0]).await.is_err() || read_all(&mut silent).await.is_empty());
    assert!(TcpStream::connect(running.address).await.is_err(), "nobody listens any more");
    Server::bind(running.address).await.unwrap();
}

/// With `SO_REUSEPORT` alone a server that was started twice would have had half of the connections each.
#[tokio::test]
async fn a_second_server_at_the_same_address_is_refused() {
    let running = per_core_with(routes(), |server| server).await;
    let open = spread(&running, THREADS).await;
    let error = Server::bind(running.address).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    drop(open);
}

#[tokio::test]
async fn a_panic_ends_one_connection_and_no_thread() {
    std::panic::set_hook(Box::new(|_| {}));
    let failing = |mut ws: WebSocket, _: Context| async move {
        ws.send(thread_name()).await.unwrap();
        assert!(ws.recv().await.is_err(), "a handler's panic");
    };
    let running = per_core_with(routes().ws("/failing", ws(failing)), |server| server).await;
    let mut open = spread(&running, THREADS).await;
    let mut failed = HashSet::new();
    for _ in 0..400 {
        let mut stream = running.open("/failing").await;
        failed.insert(read_frame(&mut stream).await.unwrap().1);
        write(&mut stream, &client_frame(TEXT, b"now")).await;
        assert_eq!(read_frame(&mut stream).await.unwrap(), (CLOSE, close_payload(1011).to_vec()));
        if failed.len() == THREADS {
            break;
        }
    }
    assert_eq!(failed.len(), THREADS);
    for (_, stream) in &mut open {
        assert_echoes(stream).await;
    }
    spread(&running, THREADS).await;
    let _ = std::panic::take_hook();
}

/// A route whose handlers block their thread until the sender is dropped, and tell that they do.
fn blocking() -> (Router, mpsc::Sender<()>, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (release, held) = mpsc::channel::<()>();
    let (begin, begun) = tokio::sync::mpsc::unbounded_channel();
    let held = Arc::new(Mutex::new(held));
    let block = move |_: WebSocket, _: Context| {
        let (begin, held) = (begin.clone(), Arc::clone(&held));
        async move {
            begin.send(thread_name()).unwrap();
            let _ = held.lock().unwrap().recv();
        }
    };
    (routes().ws("/block", ws(block)), release, begun)
}

#[tokio::test]
async fn a_handler_that_blocks_holds_up_its_own_thread_and_not_the_stop() {
    let (router, release, mut begun) = blocking();
    let mut running = per_core_with(router, |server| server.grace(Duration::ZERO)).await;
    let mut open = spread(&running, THREADS).await;
    let mut blocked = running.connect().await;
    write(&mut blocked, upgrade_request("/block", "").as_bytes()).await;
    let held_up = begun.recv().await.unwrap();
    for (_, stream) in open.iter_mut().filter(|(name, _)| *name == held_up) {
        write(stream, &client_frame(TEXT, b"hello")).await;
    }
    for (_, stream) in open.iter_mut().filter(|(name, _)| *name != held_up) {
        assert_echoes(stream).await;
    }
    for (_, stream) in open.iter().filter(|(name, _)| *name == held_up) {
        assert_eq!(stream.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
    running.handle.stop();
    (&mut running.task).await.unwrap().unwrap();
    drop(release);
}

#[tokio::test]
async fn dropping_the_future_drops_all_connections() {
    let running = per_core_with(routes(), |server| server).await;
    let mut open = spread(&running, THREADS).await;
    running.task.abort();
    for (_, stream) in &mut open {
        // Without a close frame, as with a server in one task.
        assert!(!matches!(stream.read(&mut [0]).await, Ok(1..)));
    }
}

/// Where the process may not bind the address any more, as below 1024 without the right to, or with another user's listener.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn threads_share_one_listener_where_the_system_gives_no_more() {
    let loopback: SocketAddr = ([127, 0, 0, 1], 0).into();
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    other.set_reuse_address(true).unwrap();
    other.bind(&loopback.into()).unwrap();
    let first = std::net::TcpListener::bind(other.local_addr().unwrap().as_socket().unwrap()).unwrap();
    first.set_nonblocking(true).unwrap();
    // Now it stands in the way of all that bind, and listens to nobody.
    other.set_reuse_address(false).unwrap();
    let twin = first.try_clone().unwrap();
    let first = TcpListener::from_std(first).unwrap();
    let mut running = per_core(Server::from_listener(first), routes());
    let mut open = Vec::new();
    for _ in 0..MANY {
        open.push(running.open("/echo").await);
    }
    assert!(!socket2::SockRef::from(&twin).reuse_port().unwrap(), "its listener is as it was");
    for stream in &mut open {
        assert_echoes(stream).await;
    }
    running.handle.stop();
    for mut stream in open {
        assert_eq!(read_frame(&mut stream).await.unwrap(), (CLOSE, close_payload(1001).to_vec()));
        write(&mut stream, &client_frame(CLOSE, &close_payload(1001))).await;
    }
    (&mut running.task).await.unwrap().unwrap();
    drop(other);
}
