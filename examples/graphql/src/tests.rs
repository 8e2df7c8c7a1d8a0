use wirelet::Client;
use wirelet::client::{Builder, ConnectError};

use super::*;

#[tokio::test]
async fn subscriptions_are_answered_in_both_protocols() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let (address, handle) = (server.local_addr().unwrap(), server.handle());
    let serving = tokio::spawn(server.serve(router()));
    let client = || Client::builder(format!("ws://{address}/graphql"));
    for (protocol, start, next) in
        [("graphql-transport-ws", "subscribe", "next"), ("graphql-ws", "start", "data")]
    {
        let (mut ws, _) = client().subprotocol(protocol).connect_once().await.unwrap();
        ws.send(r#"{"type":"connection_init"}"#).await.unwrap();
        assert_eq!(text(&mut ws).await, r#"{"type":"connection_ack"}"#);
        let query = "subscription { count(to: 3) }";
        let subscribe = format!(r#"{{"type":"{start}","id":"1","payload":{{"query":"{query}"}}}}"#);
        ws.send(subscribe).await.unwrap();
        for n in 1..=3 {
            let expected = format!(r#"{{"type":"{next}","id":"1","payload":{{"data":{{"count":{n}}}}}}}"#);
            assert_eq!(text(&mut ws).await, expected);
        }
        assert_eq!(text(&mut ws).await, r#"{"type":"complete","id":"1"}"#);
        if protocol == "graphql-transport-ws" {
            // What breaks its protocol is closed with its code.
            ws.send("{}").await.unwrap();
            assert!(ws.recv().await.unwrap().is_none());
            assert_ne!(ws.close_info().received, Some(CloseCode::NORMAL));
        }
    }
    assert!(matches!(refused(client()).await, ConnectError::Refused(response) if response.status == 400));
    handle.stop();
    serving.await.unwrap().unwrap();
}

async fn text(ws: &mut WebSocket) -> String {
    ws.recv().await.unwrap().unwrap().as_text().unwrap().to_owned()
}

async fn refused(client: Builder) -> ConnectError {
    client.connect_once().await.unwrap_err()
}
