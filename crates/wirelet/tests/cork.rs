//! How often the socket is read and written.

mod peer;

use std::sync::Arc;

use peer::*;
use tokio::net::{TcpListener, TcpStream};
use wirelet::{Config, Error, Role, WebSocket};

async fn echo(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}

async fn counted_server() -> (WebSocket, TcpStream, Arc<Counts>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (near, _) = listener.accept().await.unwrap();
    far.set_nodelay(true).unwrap();
    near.set_nodelay(true).unwrap();
    let counts = Arc::new(Counts::default());
    let stream = Counting { stream: near, counts: Arc::clone(&counts) };
    (WebSocket::from_upgraded(stream, Role::Server, Arc::new(Config::new()), &[]), far, counts)
}

#[tokio::test]
async fn sixteen_messages_in_one_segment_cost_one_read_and_one_write() {
    let (server, mut far, counts) = counted_server().await;
    let server = tokio::spawn(server.drive(echo));
    for size in [0, 20, 125, 126, 500, 3000] {
        let batch = client_frame(TEXT, &vec![b'x'; size]).repeat(16);
        write(&mut far, &batch).await;
        for _ in 0..16 {
            assert_eq!(read_frame(&mut far).await.unwrap(), (TEXT, vec![b'x'; size]));
        }
        let (reads, writes) = counts.take();
        assert!(
            reads <= 1 && writes <= 1,
            "{reads} reads and {writes} writes for 16 messages of {size} bytes"
        );
    }
    drop(far);
    server.await.unwrap();
}

#[tokio::test]
async fn messages_of_all_sizes_and_pongs_leave_in_one_write() {
    let (server, mut far, counts) = counted_server().await;
    let server = tokio::spawn(server.drive(echo));
    let sizes = [10_usize, 9000, 100, 20_000, 0];
    let mut batch = Vec::new();
    for size in sizes {
        batch.extend(client_frame(BINARY, &vec![size as u8; size]));
        batch.extend(client_frame(PING, &[size as u8]));
    }
    write(&mut far, &batch).await;
    for _ in 0..sizes.len() * 2 {
        read_frame(&mut far).await.unwrap();
    }
    let (reads, writes) = counts.take();
    assert!(reads <= 2 && writes <= 2, "{reads} reads and {writes} writes");
    drop(far);
    server.await.unwrap();
}

#[tokio::test]
async fn without_a_server_feeding_gathers_and_sending_does_not() {
    let (mut server, mut far, counts) = counted_server().await;
    for n in 0..10 {
        server.feed(format!("{n}")).await.unwrap();
    }
    assert_eq!(counts.take().1, 0);
    server.flush().await.unwrap();
    assert_eq!(counts.take().1, 1);
    for n in 0..3 {
        server.send(format!("{n}")).await.unwrap();
        assert_eq!(counts.take().1, 1);
    }
    server.feed("fed").await.unwrap();
    // Waiting for a message sends what was fed.
    let mut receive = Box::pin(server.recv());
    assert!(futures_util::poll!(&mut receive).is_pending());
    assert_eq!(counts.take().1, 1);
    for _ in 0..14 {
        read_frame(&mut far).await.unwrap();
    }
}

#[tokio::test]
async fn what_other_tasks_send_meanwhile_leaves_in_one_write() {
    let (server, mut far, counts) = counted_server().await;
    let sender = server.sender();
    let server = tokio::spawn(server.drive(echo));
    tokio::task::yield_now().await;
    for n in 0..100 {
        sender.try_send(format!("{n}")).unwrap();
    }
    for n in 0..100 {
        assert_eq!(read_frame(&mut far).await.unwrap().1, format!("{n}").into_bytes());
    }
    assert!(counts.take().1 <= 1);
    drop(far);
    server.await.unwrap();
}

#[tokio::test]
async fn large_answers_leave_at_once_and_nothing_is_read_while_the_peer_does_not_read() {
    let (server, mut far, _) = counted_server().await;
    let server = tokio::spawn(server.drive(|mut ws| async move {
        for _ in 0..20 {
            ws.send(vec![1; 100_000]).await?;
        }
        Ok::<_, Error>(())
    }));
    for _ in 0..20 {
        assert_eq!(read_frame(&mut far).await.unwrap(), (BINARY, vec![1; 100_000]));
    }
    assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, close_payload(1000).to_vec()));
    drop(far);
    server.await.unwrap();
}
