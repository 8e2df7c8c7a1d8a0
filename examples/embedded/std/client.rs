//! A client over the sockets of the standard library: `client [URL]` says hello, prints the answer and closes the connection.

use std::env;

use getrandom::{SysRng, rand_core::UnwrapErr};
use wirelet_embedded::client::{Client, ClientResources, Options};
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::{Csprng, Error, StdClock, StdConnector, WebSocket};

fn main() {
    let url = env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:8080/ws".into());
    let uri = Uri::parse(&url).unwrap_or_else(|error| panic!("{url}: {error}"));
    let options = Options::new(uri);
    let mut resources = ClientResources::<1024, 1024, 256>::new();
    let (mut client, _sender) = Client::new(&mut resources, &options);
    let mut keys = Csprng(UnwrapErr(SysRng));
    println!(
        "{:?}",
        async_io::block_on(client.run_with(&mut StdConnector, &StdClock, &mut keys, &(), hello))
    );
}

async fn hello(mut ws: WebSocket<'_>) -> Result<(), Error> {
    ws.send("hello").await?;
    let mut buffer = [0; 1024];
    if let Some(answer) = ws.recv(&mut buffer).await? {
        println!("received: {answer:?}");
    }
    Ok(()) // closes with 1000
}
