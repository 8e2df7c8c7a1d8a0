//! One request and its response, without I/O: what was received is looked at, and what is to be sent stands in the
//! transmit buffer.

use wirelet_proto::deflate::Agreement;
use wirelet_proto::handshake::{
    AcceptOptions, HandshakeError, HttpVersion, RequestHead, UpgradeRequest, is_upgrade,
};
use wirelet_proto::{Extensions, Upgraded};

use super::Settings;
use super::route::{Acceptance, Found, Opening, Route, Target, Upgrade, WebSocketRoute, find};
use crate::compression::{Compression, Reservation};
use crate::context::Room;
use crate::counters::{Count, Counters};
use crate::events;
use crate::http::{
    Answer, Cursor, File, Framing, Head, Methods, Request, Response, assemble, fields, framing,
    handshake_headers, refusal,
};

const NOBODY: &str = "nobody serves this path";
/// Headers that a hook may add.
const HEADERS: usize = 8;

/// Answers a request whose head has arrived.
pub(crate) struct Responder<'x, 'c, 'r> {
    pub(crate) routes: &'c [Route<'c>],
    /// Another WebSocket may be opened.
    pub(crate) vacancy: bool,
    /// There is an async function for WebSockets without a handler.
    pub(crate) pulls: bool,
    /// There is one for requests.
    pub(crate) serves: bool,
    /// The body has not been read.
    pub(crate) unread: bool,
    /// The connection may be kept for another request.
    pub(crate) keep: bool,
    /// It is a request for a head, whose response has no body (RFC 9110 9.3.2).
    pub(crate) bodiless: bool,
    pub(crate) tx: &'x mut [u8],
    /// Where memory for a compressed WebSocket comes from, and where it is put.
    pub(crate) compression: Option<Compression<'r>>,
    pub(crate) lane: &'x mut Option<Reservation<'r>>,
    /// Where the hook may leave a value.
    pub(crate) context: Option<&'x mut dyn Room>,
    pub(crate) counters: Option<&'c Counters>,
    /// Method and path, for the log.
    pub(crate) about: [&'x str; 2],
}

/// What is to be done: `tx` bytes of the transmit buffer are sent first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'c> {
    pub(crate) tx: usize,
    /// Sent after them, from flash.
    pub(crate) rest: &'c [u8],
    pub(crate) then: Then<'c>,
}

/// What comes after the response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then<'c> {
    /// The next request.
    Keep,
    /// The end; what still arrives is thrown away for a while.
    Close,
    /// An async function makes the response.
    Exchange { route: u16, framing: Framing, most: u64, keep: bool },
    /// A WebSocket.
    Upgrade { route: u16, config: &'c WebSocketRoute<'c>, upgraded: Upgraded },
}

impl core::fmt::Debug for WebSocketRoute<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WebSocketRoute").field("subprotocols", &self.subprotocols).finish_non_exhaustive()
    }
}

/// Bytes of the body of the request; an error is a refusal.
pub(crate) fn announced(head: &RequestHead<'_>, room: usize) -> Result<usize, (u16, &'static str)> {
    match framing(head) {
        Ok(Framing::Length(len)) => usize::try_from(len)
            .ok()
            .filter(|len| *len <= room)
            .ok_or((413, "the body is larger than the receive buffer")),
        // RFC 9112 6.3: who asks for a length says it with 411.
        Ok(Framing::Chunked) => Err((411, "bodies come here with Content-Length, not in chunks")),
        Err(error) => Err(error.refusal()),
    }
}

impl<'x, 'c, 'r> Responder<'x, 'c, 'r> {
    /// One that can do nothing but refuse.
    pub(crate) const fn new(
        settings: &Settings<'c>,
        tx: &'x mut [u8],
        lane: &'x mut Option<Reservation<'r>>,
    ) -> Self {
        Self {
            routes: settings.routes,
            vacancy: false,
            pulls: false,
            serves: false,
            unread: false,
            keep: false,
            bodiless: false,
            tx,
            compression: None,
            lane,
            context: None,
            counters: settings.counters,
            about: ["", ""],
        }
    }

    /// Answers a complete request.
    pub(crate) fn answer(mut self, request: Request<'_>) -> Plan<'c> {
        let head = &request.head;
        self.keep &= keeps(head);
        // RFC 9112 3.2: one Host in every request of HTTP/1.1.
        let hosts = head.headers().filter(|header| header.is("Host")).count();
        if hosts > 1 || (hosts == 0 && head.version() >= HttpVersion::HTTP_11) {
            return self.fail(400, HandshakeError::Host.text());
        }
        match find(self.routes, head.path(), head.method()) {
            Found::Nothing => self.refuse(404, "there is nothing at this path", &[]),
            Found::Methods(methods) => self.wrong_method(methods),
            Found::Route(at, route) => self.route(&Request { route: route.path(), ..request }, at, route),
        }
    }

    /// A refusal after which the connection ends.
    pub(crate) fn fail(mut self, status: u16, why: &str) -> Plan<'c> {
        self.keep = false;
        self.refuse(status, why, &[])
    }

    pub(crate) fn refuse(self, status: u16, why: &str, headers: &[(&str, &str)]) -> Plan<'c> {
        self.noted(status, why);
        let keep = self.keep && !self.unread;
        let tx = refusal(status, why, headers, keep, self.bodiless, self.tx);
        Plan { tx, rest: &[], then: after(keep) }
    }

    /// Counts and logs a refusal.
    fn noted(&self, status: u16, why: &str) {
        Counters::count(self.counters, Count::Refused(status), 1);
        let [method, path] = self.about;
        events::refused(status, why, method, path);
    }

    fn wrong_method(self, methods: Methods) -> Plan<'c> {
        let mut list = [0; 48];
        let mut line = Cursor::new(&mut list);
        for (at, name) in methods.names().enumerate() {
            line.put(if at == 0 { "" } else { ", " });
            line.put(name);
        }
        let allow = line.into_text().unwrap_or_default();
        self.refuse(405, "this path has other methods", &[("Allow", allow)])
    }

    fn route(self, request: &Request<'_>, at: u16, route: &Route<'c>) -> Plan<'c> {
        if let Some(auth) = route.auth()
            && !auth.accepts(request.head.header("Authorization"))
        {
            return self.unauthorized(auth.realm);
        }
        match route.target {
            Target::File(file) => self.file(request, &file),
            Target::Call(_, respond) => {
                let mut response = Response::new(self.tx);
                respond.respond(request, &mut response);
                let made = response.finish();
                self.made(made)
            }
            Target::Pull(_, begins) => (begins.begin)(self, request, at, begins.most),
            Target::WebSocket(config) => self.upgrade(request, at, config),
        }
    }

    fn unauthorized(self, realm: &str) -> Plan<'c> {
        let mut challenge = [0; 96];
        let mut line = Cursor::new(&mut challenge);
        for part in ["Basic realm=\"", realm, "\""] {
            line.put(part);
        }
        let challenge = line.into_text().unwrap_or("Basic realm=\"device\"");
        self.refuse(401, "user or password is missing or wrong", &[("WWW-Authenticate", challenge)])
    }

    fn file(self, request: &Request<'_>, file: &File<'c>) -> Plan<'c> {
        let coding = file.gzip.then_some(("Content-Encoding", "gzip"));
        let vary = file.gzip.then_some(("Vary", "Accept-Encoding"));
        let etag = file.etag.map(|etag| ("ETag", etag));
        let cache = ("Cache-Control", file.cache);
        let (status, len) = match file.answer(&request.head) {
            Answer::NotAcceptable => {
                return self.refuse(
                    406,
                    "this file is compressed with gzip, which the client does not take",
                    &[],
                );
            }
            Answer::NotModified => (304, None),
            Answer::Whole => (200, Some(file.bytes.len())),
        };
        let head = Head { status, content_type: len.map(|_| file.content_type), len, keep: self.keep };
        let mut headers = [cache; 8];
        let mut count = 1;
        let own = [coding.filter(|_| len.is_some()), vary, etag].into_iter().flatten();
        for header in own.chain(file.headers.iter().copied()) {
            if let Some(place) = headers.get_mut(count) {
                *place = header;
                count += 1;
            }
        }
        let Some(end) = head.put(headers.get(..count).unwrap_or_default(), self.tx) else {
            return self.fail(500, "the head of the response does not fit the transmit buffer");
        };
        let body = if len.is_some() && !self.bodiless { file.bytes } else { &[] };
        // The first bytes leave together with the head.
        let room = self.tx.get_mut(end..).unwrap_or_default();
        let (first, rest) = body.split_at_checked(room.len()).unwrap_or((body, &[]));
        for (to, from) in room.iter_mut().zip(first) {
            *to = *from;
        }
        Plan { tx: end.saturating_add(first.len()), rest, then: after(self.keep) }
    }

    fn made(self, made: Option<(u16, &'static str, usize, usize)>) -> Plan<'c> {
        let Some((status, content_type, headers, body)) = made else {
            return self.fail(500, "the response does not fit the transmit buffer");
        };
        let content = !matches!(status, 204 | 304);
        let head = Head {
            status,
            content_type: content.then_some(content_type),
            len: content.then_some(body),
            keep: self.keep,
        };
        let sent = if content && !self.bodiless { body } else { 0 };
        match assemble(self.tx, head, headers, sent) {
            Some(tx) => Plan { tx, rest: &[], then: after(self.keep) },
            None => self.fail(500, "the head of the response does not fit the transmit buffer"),
        }
    }

    fn upgrade(mut self, request: &Request<'_>, at: u16, route: &'c WebSocketRoute<'c>) -> Plan<'c> {
        if !is_upgrade(&request.head) {
            let error = HandshakeError::NotAnUpgrade;
            return self.refuse(error.status(), error.text(), handshake_headers(error));
        }
        self.keep = false;
        let handshake = match UpgradeRequest::verify(request.head) {
            Ok(request) => request,
            Err(error) => return self.refuse(error.status(), error.text(), handshake_headers(error)),
        };
        // RFC 6455 10.2: pages of other origins are refused with 403.
        match route.origin.allows(&handshake) {
            Ok(true) => {}
            Ok(false) => return self.refuse(403, "pages of this origin may not connect", &[]),
            Err(error) => return self.refuse(error.status(), error.text(), &[]),
        }
        if route.handler.is_none() && !self.pulls {
            return self.refuse(503, NOBODY, &[]);
        }
        if !self.vacancy {
            return self.refuse(503, "all connections are in use", &[("Retry-After", "10")]);
        }
        let chosen = handshake.select_subprotocol(route.subprotocols).and_then(|at| at.try_into().ok());
        match route.upgrade {
            None => self.accept(&handshake, at, route, chosen, &[]),
            Some(upgrade) => {
                let opening = Opening { request: *request, handshake: &handshake };
                (upgrade.ask)(self, upgrade, &opening, at, route, chosen)
            }
        }
    }

    /// Writes the 101.
    fn accept(
        mut self,
        handshake: &UpgradeRequest<'_>,
        at: u16,
        route: &'c WebSocketRoute<'c>,
        subprotocol: Option<u16>,
        headers: &[(&str, &str)],
    ) -> Plan<'c> {
        let deflate = self.negotiate(handshake, route);
        let name = subprotocol.and_then(|at| route.subprotocols.get(usize::from(at)).copied());
        let extensions = deflate.as_ref().map(|agreement| agreement.answer.as_str());
        let options = AcceptOptions { subprotocol: name, extensions, headers };
        match handshake.accept(&options, self.tx) {
            Ok(tx) => {
                let extensions =
                    deflate.map_or(Extensions::NONE, |agreement| Extensions::deflate(agreement.params));
                let upgraded = Upgraded { subprotocol, extensions };
                Plan { tx, rest: &[], then: Then::Upgrade { route: at, config: route, upgraded } }
            }
            Err(error) => self.fail(500, error.text()),
        }
    }

    /// RFC 7692 5: an offer is accepted when there is memory for it.
    fn negotiate(&mut self, request: &UpgradeRequest<'_>, route: &WebSocketRoute<'_>) -> Option<Agreement> {
        if !route.compress || request.extensions().next().is_none() {
            return None;
        }
        let lane = self.compression?.reserve()?;
        let agreement = lane.settings().accept(request.extensions())?;
        *self.lane = Some(lane);
        Some(agreement)
    }
}

/// Has an async function answer, if the body can be read.
pub(super) fn begin<'c>(
    responder: Responder<'_, 'c, '_>,
    request: &Request<'_>,
    route: u16,
    most: u64,
) -> Plan<'c> {
    if !responder.serves {
        return responder.refuse(503, NOBODY, &[]);
    }
    match framing(&request.head) {
        Err(error) => {
            let (status, why) = error.refusal();
            responder.fail(status, why)
        }
        Ok(Framing::Length(len)) if len > most => {
            responder.fail(413, "the body is larger than this path takes")
        }
        Ok(framing) => {
            Plan { tx: 0, rest: &[], then: Then::Exchange { route, framing, most, keep: responder.keep } }
        }
    }
}

/// Has the hook decide, and answers what it says. (It is reached through the hook alone: where there is none, it is not linked.)
pub(super) fn ask<'c>(
    mut responder: Responder<'_, 'c, '_>,
    upgrade: Upgrade<'c>,
    opening: &Opening<'_>,
    at: u16,
    route: &'c WebSocketRoute<'c>,
    subprotocol: Option<u16>,
) -> Plan<'c> {
    let half = responder.tx.len() / 2;
    let context: Option<&mut dyn Room> = match &mut responder.context {
        Some(context) => Some(&mut **context),
        None => None,
    };
    let mut acceptance = Acceptance {
        offered: opening.handshake,
        supported: route.subprotocols,
        subprotocol,
        headers: Cursor::new(responder.tx.get_mut(half..).unwrap_or_default()),
        invalid: false,
        context,
    };
    let decided = (upgrade.decide)(opening, &mut acceptance);
    let Acceptance { subprotocol, headers, invalid, .. } = acceptance;
    let lines = headers.finish().filter(|_| !invalid);
    if let Err(rejection) = decided {
        let written = rejection.write(responder.tx);
        return match written {
            Ok(tx) => {
                Counters::count(responder.counters, Count::Hook, 1);
                let [method, path] = responder.about;
                events::refused(rejection.status, "the upgrade hook said no", method, path);
                Plan { tx, rest: &[], then: Then::Close }
            }
            Err(error) => responder.fail(500, error.text()),
        };
    }
    let Some(lines) = lines else {
        return responder.fail(500, "a header of the upgrade hook must not be sent, or has no room");
    };
    // They make way for the 101.
    let end = responder.tx.len().saturating_sub(lines);
    responder.tx.copy_within(half..half.saturating_add(lines), end);
    let (front, lines) = core::mem::take(&mut responder.tx).split_at_mut_checked(end).unwrap_or_default();
    responder.tx = front;
    let mut headers = [("", ""); HEADERS];
    match fields(core::str::from_utf8(lines).unwrap_or_default(), &mut headers) {
        Some(count) => {
            let headers = headers.get(..count).unwrap_or_default();
            responder.accept(opening.handshake, at, route, subprotocol, headers)
        }
        None => responder.fail(500, "the upgrade hook adds more than eight headers"),
    }
}

pub(super) const fn after<'c>(keep: bool) -> Then<'c> {
    if keep { Then::Keep } else { Then::Close }
}

// RFC 9112 9.3: persistent by default from HTTP/1.1 on.
fn keeps(head: &RequestHead<'_>) -> bool {
    head.version() >= HttpVersion::HTTP_11 && !head.headers().list("Connection").contains("close")
}
