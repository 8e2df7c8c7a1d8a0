//! The client: one connection, or as many as it takes.
//!
//! ```no_run
//! use wirelet::client::{Client, Event};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // One connection.
//! let (mut websocket, response) = Client::builder("ws://127.0.0.1:8080/ws").connect_once().await?;
//! println!("{} {:?}", response.status, response.subprotocol);
//! websocket.send("hello").await?;
//! println!("{:?}", websocket.recv().await?);
//!
//! // A client that connects again whenever it must.
//! let mut client = Client::builder("ws://127.0.0.1:8080/ws").connect()?;
//! client.send("sent as soon as there is a connection").await?;
//! while let Some(event) = client.next().await {
//!     match event {
//!         Event::Message(message) => println!("{message:?}"),
//!         Event::Disconnected { reason, retry_in, .. } => println!("{reason}; next attempt in {retry_in:?}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # TLS
//!
//! `wss://` works with the feature `tls-ring` or `tls-aws-lc`. The platform's roots are trusted unless `Builder::tls` says otherwise.
//!
//! ```no_run
//! # #[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use wirelet::client::{Client, Tls};
//!
//! let tls = Tls::builder()
//!     .roots_pem(std::fs::read("ca.pem")?)
//!     .client_certificate_pem(std::fs::read("device.pem")?, std::fs::read("device.key")?)
//!     .build()?;
//! let client = Client::builder("wss://example.com/ws").tls(tls);
//! # Ok(())
//! # }
//! ```
//!
//! Messages are masked with keys from a CSPRNG that each thread seeds from the operating system (RFC 6455 5.3).

mod address;
mod attempt;
mod builder;
mod connector;
mod cookies;
mod dial;
mod error;
mod event;
mod handle;
mod inbox;
mod prepare;
mod proxy;
mod queue;
mod response;
#[cfg_attr(not(feature = "__tls"), path = "secure/absent.rs")]
mod secure;
mod session;
mod target;
mod upgrade;

use crate::race;
#[cfg(feature = "__tls")]
pub use crate::tls::client::{Alert, Tls, TlsBuilder, TlsError};
pub use address::Address;
pub use builder::Builder;
pub use connector::{Connector, Endpoint};
pub use cookies::Cookies;
pub use error::{Attempt, ConnectError, Phase, RedirectError};
pub use event::{Closed, Event, Reason, retry};
pub use handle::{Client, Sender};
pub use prepare::AttemptRequest;
pub use proxy::{Proxy, ProxyError, ProxyUrlError};
pub use queue::WhileAway;
pub use response::Response;
pub use wirelet_proto::reconnect::ReconnectConfig;
