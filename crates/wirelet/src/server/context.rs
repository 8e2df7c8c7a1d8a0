//! What a handler knows about the request that opened its connection.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use wirelet_proto::handshake::RequestHead;

use super::ServerHandle;
use super::paths::{Params, decode};
use super::registry::ConnectionId;

/// The request that opens, or has opened, a connection. Clones share it.
#[derive(Clone, Debug)]
pub struct Context {
    request: Arc<Request>,
    pub(crate) subprotocol: Option<Arc<str>>,
    pub(crate) id: Option<ConnectionId>,
    server: ServerHandle,
}

#[derive(Debug)]
struct Request {
    target: Box<str>,
    params: Params,
    headers: HeaderMap,
    peer: Option<SocketAddr>,
    subprotocols: Vec<Arc<str>>,
}

impl Context {
    pub(crate) fn new(
        head: &RequestHead<'_>,
        params: Params,
        peer: Option<SocketAddr>,
        subprotocols: Vec<Arc<str>>,
        server: ServerHandle,
    ) -> Self {
        let target = match head.query() {
            Some(query) => format!("{}?{query}", head.path()),
            None => head.path().to_owned(),
        };
        let headers = header_map(head);
        let request = Request { target: target.into(), params, headers, peer, subprotocols };
        Self { request: Arc::new(request), subprotocol: None, id: None, server }
    }

    /// The path, as it was sent.
    pub fn path(&self) -> &str {
        self.request.target.split_once('?').map_or(&*self.request.target, |(path, _)| path)
    }

    /// What follows the `?`, as it was sent.
    pub fn query(&self) -> Option<&str> {
        self.request.target.split_once('?').map(|(_, query)| query)
    }

    /// The value of a parameter in the query, decoded; the first one of that name.
    pub fn query_value(&self, name: &str) -> Option<String> {
        let pairs = self.query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let plus = |text: &str| decode(&text.replace('+', " "));
        pairs
            .map(|(key, value)| (plus(key), value))
            .find(|(key, _)| key == name)
            .map(|(_, value)| plus(value))
    }

    /// What stands in the place of `{name}` in the route, decoded; `*` is what the trailing `*` stands for.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.request.params.iter().find(|(key, _)| &**key == name).map(|(_, value)| value.as_str())
    }

    /// The header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.request.headers
    }

    /// The value of a header field, when it is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers.get(name)?.to_str().ok()
    }

    /// The peer's address; `None` where it has none, as on a Unix socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.request.peer
    }

    /// The subprotocols that both ends know, in the server's order of preference.
    pub fn common_subprotocols(&self) -> impl Iterator<Item = &str> {
        self.request.subprotocols.iter().map(|name| &**name)
    }

    pub(crate) fn has_in_common(&self, subprotocol: &str) -> bool {
        self.common_subprotocols().any(|name| name == subprotocol)
    }

    /// The subprotocol that was agreed on, the same as the route's at the position
    /// [`WebSocket::subprotocol`](crate::WebSocket::subprotocol). `None` before that.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The connection's number. `None` before it has been accepted.
    pub const fn id(&self) -> Option<ConnectionId> {
        self.id
    }

    /// The server, with all its connections.
    pub const fn server(&self) -> &ServerHandle {
        &self.server
    }
}

fn header_map(head: &RequestHead<'_>) -> HeaderMap {
    let field = |header: wirelet_proto::handshake::Header<'_>| {
        let name = HeaderName::from_bytes(header.name().as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(header.value()).ok()?))
    };
    let mut map = HeaderMap::new();
    for (name, value) in head.headers().filter_map(field) {
        map.append(name, value);
    }
    map
}
