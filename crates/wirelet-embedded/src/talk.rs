//! An open WebSocket from its first call to its end: by callbacks, or by an async function.

use crate::Outcome;
use crate::handler::End;
use crate::net::Socket;
use crate::session::{Opened, Session, Surroundings, pull};
use crate::table::Phase;
use crate::time::Clock;
use crate::websocket::WebSocket;

/// How open WebSockets are served.
pub(crate) trait Talk: Copy {
    /// Whether there is an async function for those without callbacks.
    const PULLS: bool;

    /// Runs one to its end; `pulls`: by the async function, through a route with this name.
    fn talk<S: Socket, C: Clock>(
        self,
        session: &mut Session<'_, '_>,
        socket: &mut S,
        around: &Surroundings<'_, C>,
        pulls: Option<&str>,
    ) -> impl Future<Output = End>;
}

/// By the callbacks of [`Surroundings::handler`].
#[derive(Clone, Copy)]
pub(crate) struct Callbacks;

/// By an async function, or by callbacks.
pub(crate) struct Pull<'f, F>(pub(crate) &'f F);

impl<F> Copy for Pull<'_, F> {}

impl<F> Clone for Pull<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl Talk for Callbacks {
    const PULLS: bool = false;

    #[expect(clippy::manual_async_fn, reason = "the future of an async function holds its arguments twice")]
    fn talk<S: Socket, C: Clock>(
        self,
        session: &mut Session<'_, '_>,
        socket: &mut S,
        around: &Surroundings<'_, C>,
        _: Option<&str>,
    ) -> impl Future<Output = End> {
        async move {
            let open = Opened::new(around);
            session.open(around.handler, around.clock.now());
            let cause = session.run(socket, around).await;
            let end = session.end(cause);
            around.link.with(|slot, _| slot.enter(Phase::Closing));
            open.ended(&end);
            session.linger(socket, around).await;
            end
        }
    }
}

impl<F: AsyncFn(WebSocket<'_>) -> O, O: Outcome> Talk for Pull<'_, F> {
    const PULLS: bool = true;

    async fn talk<S: Socket, C: Clock>(
        self,
        session: &mut Session<'_, '_>,
        socket: &mut S,
        around: &Surroundings<'_, C>,
        pulls: Option<&str>,
    ) -> End {
        match pulls {
            Some(route) => pull(session, socket, around, route, self.0).await,
            None => Callbacks.talk(session, socket, around, None).await,
        }
    }
}
