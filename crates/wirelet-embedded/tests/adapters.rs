//! The adapters to sockets of others, besides the examples of the documentation, in which a server and a client talk over each.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use async_io::block_on;
use edge_nal::TcpBind as _;
use embassy_futures::join::join;
use embedded_io_async::{Error as _, ErrorKind, ErrorType, Read, Write};
use wirelet_embedded::net::{Connect, Listen, Remote, Socket, from_fn};
use wirelet_embedded::proto::Instant;
use wirelet_embedded::{Clock, EdgeConnector, EdgeListener, Pair, StdClock, StdConnector, StdListener};

fn remote(address: SocketAddr, secure: bool) -> Remote<'static> {
    Remote { host: "127.0.0.1", port: address.port(), secure }
}

fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Who has no TLS must not send in the clear what was meant to be encrypted.
#[test]
fn no_adapter_connects_to_a_secure_remote() {
    block_on(async {
        let listener = StdListener::bind(local()).unwrap();
        let to = remote(listener.local_addr().unwrap(), true);
        let stack = edge_nal_std::Stack::new();
        assert!(matches!(StdConnector.connect(to).await, Err(ErrorKind::Unsupported)));
        assert!(matches!(EdgeConnector::new(&stack, &stack).connect(to).await, Err(ErrorKind::Unsupported)));
        let mut asked = false;
        let mut connector = from_fn(async || {
            asked = true;
            Err::<Pair<Ended, Recorder>, _>(ErrorKind::Other)
        });
        assert!(matches!(connector.connect(to).await, Err(ErrorKind::Unsupported)));
        assert!(!asked);
    });
}

/// A port on which nobody listens.
fn deaf() -> SocketAddr {
    TcpListener::bind(local()).unwrap().local_addr().unwrap()
}

#[test]
fn who_is_refused_learns_it() {
    block_on(async {
        let to = remote(deaf(), false);
        let error = StdConnector.connect(to).await.err();
        assert_eq!(error, Some(ErrorKind::ConnectionRefused));
        let stack = edge_nal_std::Stack::new();
        let error = EdgeConnector::new(&stack, &stack).connect(to).await.err();
        assert_eq!(error, Some(ErrorKind::ConnectionRefused));
    });
}

/// What a socket of either adapter has to do for the closing handshake: after its own end it still receives.
async fn exchange(mut accepted: impl Socket, mut connected: impl Socket) {
    connected.split().1.write_all(b"over").await.unwrap();
    connected.shutdown().await.unwrap();
    assert_eq!(rest(&mut accepted).await, b"over");
    accepted.split().1.write_all(b"and out").await.unwrap();
    accepted.shutdown().await.unwrap();
    assert_eq!(rest(&mut connected).await, b"and out");
}

/// What arrives until the end of the stream.
async fn rest(socket: &mut impl Socket) -> Vec<u8> {
    let (mut reader, _writer) = socket.split();
    let (mut all, mut piece) = (Vec::new(), [0; 4]);
    loop {
        match reader.read(&mut piece).await.unwrap() {
            0 => return all,
            len => all.extend_from_slice(&piece[..len]),
        }
    }
}

#[test]
fn a_socket_receives_after_its_own_end() {
    block_on(async {
        let listener = StdListener::bind(local()).unwrap();
        let to = remote(listener.local_addr().unwrap(), false);
        let (mut listener, mut connector) = (&listener, StdConnector);
        let (accepted, connected) = join(listener.accept(), connector.connect(to)).await;
        let (accepted, connected) = (accepted.unwrap(), connected.unwrap());
        assert_eq!(connected.peer().map(|peer| peer.port()), Some(to.port));
        assert!(
            accepted.peer().is_some_and(|peer| peer.ip() == Ipv4Addr::LOCALHOST && peer.port() != to.port)
        );
        exchange(accepted, connected).await;

        let stack = edge_nal_std::Stack::new();
        let address = deaf();
        let bound = stack.bind(address).await.unwrap();
        let (mut listener, mut connector) = (EdgeListener(&bound), EdgeConnector::new(&stack, &stack));
        let to = remote(address, false);
        let (accepted, connected) = join(listener.accept(), connector.connect(to)).await;
        let (accepted, connected) = (accepted.unwrap(), connected.unwrap());
        assert_eq!(connected.peer(), Some(address));
        assert!(accepted.peer().is_some_and(|peer| peer.ip() == Ipv4Addr::LOCALHOST));
        exchange(accepted, connected).await;
    });
}

/// A reader at its end.
struct Ended;

/// A writer that says what it was given, and that it was dropped.
#[derive(Clone, Default)]
struct Recorder(Rc<RefCell<Vec<u8>>>);

impl ErrorType for Ended {
    type Error = ErrorKind;
}

impl Read for Ended {
    async fn read(&mut self, _: &mut [u8]) -> Result<usize, ErrorKind> {
        Ok(0)
    }
}

impl ErrorType for Recorder {
    type Error = ErrorKind;
}

impl Write for Recorder {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// After its writing side was ended, a pair takes no more bytes, and still reads.
#[test]
fn a_pair_ends_its_writing_side_by_dropping_the_writer() {
    block_on(async {
        let writer = Recorder::default();
        let mut pair = Pair::new(Ended, writer.clone());
        pair.split().1.write_all(b"hello").await.unwrap();
        assert_eq!(Rc::strong_count(&writer.0), 2);
        pair.shutdown().await.unwrap();
        assert_eq!(Rc::strong_count(&writer.0), 1);
        let error = pair.split().1.write(b"late").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert_eq!(pair.split().0.read(&mut [0]).await, Ok(0));
        assert_eq!(*writer.0.borrow(), b"hello");
    });
}

#[test]
fn the_systems_clock_has_no_alarm_before_its_deadline() {
    block_on(async {
        let deadline = StdClock.now().plus(Duration::from_millis(20));
        StdClock.wait_until(deadline).await;
        assert!(StdClock.now() >= deadline);
        // Beyond what the system can say: for ever, and no panic.
        let never = StdClock.wait_until(Instant::from_millis(u64::MAX));
        let soon = StdClock.wait_until(StdClock.now());
        assert!(matches!(
            embassy_futures::select::select(never, soon).await,
            embassy_futures::select::Either::Second(())
        ));
    });
}
