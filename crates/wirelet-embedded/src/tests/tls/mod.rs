//! TLS against servers of rustls on ring: other cryptography, and another half of the protocol, than the client's.

mod certificates;
mod records;
mod support;
mod websocket;
