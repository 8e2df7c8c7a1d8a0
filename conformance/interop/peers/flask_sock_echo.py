"""The tutorial's echo server: Flask-Sock at `/`, run by Flask's development server. Argument: PORT."""

import sys

from flask import Flask
from flask_sock import Sock

app = Flask(__name__)
sock = Sock(app)


@sock.route("/")
def echo(ws):
    """Sends everything back."""
    while True:
        ws.send(ws.receive())


app.run(host="127.0.0.1", port=int(sys.argv[1]))
