use std::collections::HashMap;
use std::net::TcpListener;
use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, Transport};
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use wirelet::Client;
use wirelet::client::ConnectError;

use super::*;

/// A broker on a port of its own, in threads that end with the process.
async fn broker() -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = ServerSettings {
        name: "v4".to_owned(),
        listen: address,
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 60_000,
            max_payload_size: 1 << 20,
            max_inflight_count: 100,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    let router = RouterConfig {
        max_connections: 10,
        max_outgoing_packet_count: 200,
        max_segment_size: 1 << 24,
        max_segment_count: 10,
        ..RouterConfig::default()
    };
    let v4 = Some(HashMap::from([("v4".to_owned(), settings)]));
    let mut broker = Broker::new(Config { router, v4, ..Config::default() });
    std::thread::spawn(move || broker.start().unwrap());
    while TcpStream::connect(address).await.is_err() {
        tokio::task::yield_now().await;
    }
    address.to_string()
}

#[tokio::test]
async fn what_is_published_over_websockets_passes_a_real_broker() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let (port, handle) = (server.local_addr().unwrap().port(), server.handle());
    let serving = tokio::spawn(server.serve(router(broker().await)));
    let url = format!("ws://127.0.0.1:{port}/mqtt");
    let mut options = MqttOptions::new("tests", url.clone(), port);
    options.set_transport(Transport::Ws).set_keep_alive(Duration::from_secs(60));
    options.set_max_packet_size(1 << 20, 1 << 20);
    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe("rooms/#", QoS::AtLeastOnce).await.unwrap();
    // Of no bytes, of one, and of more than a message of the stream has.
    let payloads = [0, 1, 200_000].map(|len| vec![7; len]);
    for payload in &payloads {
        client.publish("rooms/kitchen", QoS::AtLeastOnce, false, payload.clone()).await.unwrap();
    }
    let mut published = Vec::new();
    while published.len() < payloads.len() {
        if let Event::Incoming(Packet::Publish(packet)) = events.poll().await.unwrap() {
            published.push(packet.payload.to_vec());
        }
    }
    assert!(published == payloads);
    client.disconnect().await.unwrap();
    while events.poll().await.is_ok() {}
    let refused = Client::builder(&url).connect_once().await.unwrap_err();
    assert!(matches!(refused, ConnectError::Refused(response) if response.status == 400));
    handle.stop();
    serving.await.unwrap().unwrap();
}
