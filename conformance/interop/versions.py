"""The versions of the peers, in one place."""

FLASK_SOCK = ["flask-sock==0.7.0", "Flask==3.1.3", "Werkzeug==3.1.9", "simple-websocket==1.1.0", "wsproto==1.3.2"]
PYTHON_WEBSOCKETS = "websockets==17.4"
NODE_WS = "ws@8.23.0"
BUN = "bun@1.4.5"
