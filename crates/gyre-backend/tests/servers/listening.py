"""Where a test's server listens: on the port or the socket that it was given, one connection at a time."""

import http.server
import json
import os
import socketserver


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave together, or the second would wait until the first is acknowledged.
    wbufsize = -1
    # A connection that is kept must not keep the one thread from others for ever.
    timeout = 30

    def address_string(self):
        return "client"

    def log_message(self, format, *args):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def answer(self, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def serve(handler):
    socket = os.environ.get("GYRE_SOCKET")
    if socket:
        server = socketserver.UnixStreamServer(socket, handler)
    else:
        server = http.server.HTTPServer(("127.0.0.1", int(os.environ["GYRE_PORT"])), handler)
    print("listening", flush=True)
    server.serve_forever()
