//! Rooms: what one connection says, all in its room hear, through a bounded queue each.
//!
//! `cargo run -p example-chat`, then open several WebSockets to ws://127.0.0.1:8080/rooms/kitchen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use wirelet::server::{ConnectionId, Context, Router, Server, shutdown_signal, ws_with};
use wirelet::{Error, Sender, SlowReceiver, WebSocket};

/// Who is in which room.
#[derive(Clone, Default)]
struct Rooms(Arc<Mutex<HashMap<String, HashMap<ConnectionId, Sender>>>>);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let router = Router::new().ws("/rooms/{room}", ws_with(Rooms::default(), member));
    Server::bind("127.0.0.1:8080").await?.shutdown_on(shutdown_signal()).serve(router).await
}

async fn member(mut socket: WebSocket, context: Context, rooms: Rooms) -> Result<(), Error> {
    let (Some(id), Some(room)) = (context.id(), context.param("room")) else { return Ok(()) };
    // Who does not keep up is told to come back later, instead of missing messages in silence.
    let policy = SlowReceiver::Close;
    rooms.join(room, id, socket.sender().with_policy(policy));
    let result = talk(&mut socket, room, &rooms).await;
    rooms.leave(room, id);
    result
}

async fn talk(socket: &mut WebSocket, room: &str, rooms: &Rooms) -> Result<(), Error> {
    while let Some(message) = socket.recv().await? {
        for sender in rooms.members(room) {
            // The payload is shared: a clone costs a reference count.
            let _ = sender.try_send(message.clone());
        }
    }
    Ok(())
}

impl Rooms {
    fn join(&self, room: &str, id: ConnectionId, sender: Sender) {
        self.lock().entry(room.to_owned()).or_default().insert(id, sender);
    }

    fn leave(&self, room: &str, id: ConnectionId) {
        let mut rooms = self.lock();
        let Some(members) = rooms.get_mut(room) else { return };
        members.remove(&id);
        if members.is_empty() {
            rooms.remove(room);
        }
    }

    fn members(&self, room: &str) -> Vec<Sender> {
        self.lock().get(room).map(|members| members.values().cloned().collect()).unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, HashMap<ConnectionId, Sender>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
