"""What goes over the wire between a client and a server: relays that note every byte, and the frames in it."""

import socket
import threading

from harness import Failure


class Passage:
    """One connection through a relay: passes on what both sides send and remembers it.

    With `last_words`, what the server sends after the client's close frame is held until the server has closed its side,
    and delivered as that function returns it.
    """

    def __init__(self, port, last_words=None):
        self._upstream = port
        self._last_words = last_words
        self._client_is_closing = False
        self.from_client = bytearray()
        self.from_server = bytearray()

    def run(self, client):
        """Passes on until both sides have ended."""
        server = socket.create_connection(("127.0.0.1", self._upstream))
        upward = threading.Thread(target=self._upward, args=(client, server), daemon=True)
        upward.start()
        self._downward(server, client)
        upward.join()
        client.close()
        server.close()

    def _upward(self, client, server):
        while data := receive(client):
            self.from_client += data
            if self._last_words and b"\r\n\r\n" in self.from_client:
                sent, _ = frames(self.from_client)
                self._client_is_closing = bool(sent) and sent[-1][1] == 8
            deliver(server, data)
        half_close(server)

    def _downward(self, server, client):
        held = b""
        while data := receive(server):
            if self._last_words and self._client_is_closing:
                held += data
                continue
            self.from_server += data
            deliver(client, data)
        if held:
            held = self._last_words(held)
            self.from_server += held
            deliver(client, held)
        half_close(client)


class Relay(Passage):
    """Stands between a client and a server for one connection."""

    def __init__(self, port, last_words=None):
        super().__init__(port, last_words)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._accepted = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        client, _ = self._listener.accept()
        self._accepted.set()
        self.run(client)

    def join(self, seconds):
        """Waits until both sides have closed; to be called when the client has ended."""
        if not self._accepted.is_set():
            raise Failure("the client never connected")
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise Failure("the connection was never closed by both sides")


class Tap:
    """Stands between clients and a server for any number of connections."""

    def __init__(self, port):
        self._upstream = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._passages = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self._listener.accept()
            passage = Passage(self._upstream)
            thread = threading.Thread(target=passage.run, args=(client,), daemon=True)
            self._passages.append((passage, thread))
            thread.start()

    def finish(self, seconds):
        """All connections; to be called when the clients have closed them."""
        for _, thread in self._passages:
            thread.join(seconds)
            if thread.is_alive():
                raise Failure("a connection was never closed by both sides")
        return [passage for passage, _ in self._passages if passage.from_client]


def receive(source):
    """The next bytes; none at the end, whatever kind of end it is."""
    try:
        return source.recv(65536)
    except OSError:
        return b""


def deliver(sink, data):
    """Passes bytes on to a side that may have left."""
    try:
        sink.sendall(data)
    except OSError:
        pass


def half_close(sink):
    """Passes the end on."""
    try:
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def head(data):
    """One side's part of the opening handshake; and the position after it."""
    text, separator, _ = bytes(data).partition(b"\r\n\r\n")
    if not separator:
        raise Failure(f"there was no opening handshake: {text[:200]!r}")
    return text.decode(), len(text) + 4


def frames(data):
    """The frames in what one side sent after its part of the opening handshake: (fin, opcode, payload); and the rest.

    Stops after the close frame and where an HTTP response begins instead of a frame; what follows is the rest.
    """
    found = []
    _, position = head(data)
    for first, payload, position in raw_frames(data, position):
        found.append((bool(first & 0x80), first & 0x0F, payload))
    return found, bytes(data[position:])


def raw_frames(data, position):
    """The same frames with their first bytes as they are, and where each of them ends."""
    while position + 2 <= len(data) and not data.startswith(b"HTTP/1.", position):
        first, second = data[position], data[position + 1]
        position += 2
        length = second & 0x7F
        if length > 125:
            width = 2 if length == 126 else 8
            length = int.from_bytes(data[position:position + width], "big")
            position += width
        key = b"\0\0\0\0"
        if second & 0x80:
            key = data[position:position + 4]
            position += 4
        payload = unmasked(data[position:position + length], key)
        position += length
        yield first, payload, position
        if first & 0x0F == 8:
            break


def unmasked(payload, key):
    """A payload without its mask (RFC 6455 5.3)."""
    length = len(payload)
    mask = int.from_bytes((bytes(key) * (length // 4 + 1))[:length], "big")
    return (int.from_bytes(payload, "big") ^ mask).to_bytes(length, "big")
