//! The README's echo server, with all defaults on, on one current-thread runtime.

use wirelet::server::{Router, Server, ws};

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let echo = ws(|mut socket, _context| async move {
            while let Some(message) = socket.recv().await? {
                socket.send(message).await?;
            }
            Ok::<_, wirelet::Error>(())
        });
        let server = Server::bind("127.0.0.1:0").await?;
        println!("{}", server.local_addr()?.port());
        server.serve(Router::new().ws("/ws", echo)).await
    })
}
