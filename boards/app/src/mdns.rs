//! Multicast DNS (RFC 6762): the device is found by its name in `.local`, and its server as an `_http._tcp` service. The messages are
//! edge-mdns's.

use core::net::Ipv6Addr;
use core::pin::pin;

use edge_mdns::domain::base::Ttl;
use edge_mdns::host::{Host, Service, ServiceAnswers};
use edge_mdns::{HostAnswersMdnsHandler, MdnsHandler, MdnsRequest, MdnsResponse};
use embassy_futures::select::select;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{IpEndpoint, Ipv4Address, Stack};

/// The group, and the port (RFC 6762 3).
const GROUP: Ipv4Address = Ipv4Address::new(224, 0, 0, 251);
const PORT: u16 = 5353;
/// RFC 6762 10: records of a host's name live for two minutes.
const TTL: Ttl = Ttl::from_secs(120);
/// The largest message that is read or sent, bytes; a longer question is not answered.
const MESSAGE: usize = 512;

/// Answers for `name`, whenever there is an address. It takes one socket of the stack, and never ends.
///
/// # Cancel safety
/// Safe.
pub async fn run(stack: Stack<'_>, name: &str) -> ! {
    loop {
        stack.wait_config_up().await;
        // Without the group nobody is heard, and with no address there is nothing to say: both may be there the next time.
        if stack.join_multicast_group(GROUP).is_ok() {
            select(pin!(answer(stack, name)), pin!(stack.wait_config_down())).await;
        }
        stack.wait_config_down().await;
    }
}

async fn answer(stack: Stack<'_>, name: &str) {
    let (mut rx_meta, mut tx_meta) = ([PacketMetadata::EMPTY; 2], [PacketMetadata::EMPTY; 2]);
    let (mut rx, mut tx, mut question, mut out) = ([0; MESSAGE], [0; MESSAGE], [0; MESSAGE], [0; MESSAGE]);
    let mut socket = UdpSocket::new(stack, &mut rx_meta, &mut rx, &mut tx_meta, &mut tx);
    let (Some(config), Ok(())) = (stack.config_v4(), socket.bind(PORT)) else { return };
    let ipv4 = config.address.address();
    let host = Host { hostname: name, ipv4, ipv6: Ipv6Addr::UNSPECIFIED, ttl: TTL };
    let service = Service {
        name,
        priority: 0,
        weight: 0,
        service: "_http",
        protocol: "_tcp",
        port: 80,
        service_subtypes: &[],
        txt_kvs: &[],
    };
    let mut handler = HostAnswersMdnsHandler::new(ServiceAnswers::new(&host, &service));
    let everybody = IpEndpoint::new(GROUP.into(), PORT);
    // RFC 6762 8.3: who comes says so.
    if let Ok(MdnsResponse::Reply { data, .. }) = handler.handle(MdnsRequest::None, &mut out) {
        let _ = socket.send_to(data, everybody).await;
    }
    loop {
        let Ok((len, from)) = socket.recv_from(&mut question).await else { continue };
        let from = from.endpoint;
        // RFC 6762 6.7: who asks from another port knows nothing of multicast.
        let legacy = from.port != PORT;
        let data = question.get(..len).unwrap_or_default();
        let request = MdnsRequest::Request { legacy, multicast: true, data };
        // What is no question of ours, or none at all, is not answered.
        if let Ok(MdnsResponse::Reply { data, .. }) = handler.handle(request, &mut out) {
            let _ = socket.send_to(data, if legacy { from } else { everybody }).await;
        }
    }
}
