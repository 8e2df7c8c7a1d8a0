use tokio::sync::oneshot;
use wirelet::{Client, CloseCode};

use super::*;

#[tokio::test]
async fn rooms_are_open_until_the_application_stops() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, async { _ = stopped.await }));
    let client = Client::builder(format!("ws://{address}/rooms/kitchen"));
    let (mut ws, _) = client.connect_once().await.unwrap();
    assert_eq!(ws.recv().await.unwrap().unwrap().as_text(), Some("welcome to kitchen, 127.0.0.1"));
    ws.send("hello").await.unwrap();
    assert_eq!(ws.recv().await.unwrap().unwrap().as_text(), Some("hello"));
    drop(stop);
    assert_eq!(ws.recv().await.unwrap(), None);
    assert_eq!(ws.close_info().received, Some(CloseCode::GOING_AWAY));
    drop(ws);
    serving.await.unwrap().unwrap();
}
