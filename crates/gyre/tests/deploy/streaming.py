"""A model that answers by events, in Python, with nothing but the standard library; it speaks V2 and a path of its own.

`BREAKS=first` fails before the first byte, `BREAKS=middle` breaks off after it. GET /seen tells which callers went away."""
import json, os, socketserver
from http.server import BaseHTTPRequestHandler

breaks = os.environ.get("BREAKS")
gone = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, said):
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def do_GET(self):
        if self.path == "/seen":
            return self.answer(200, gone)
        port = {"datatype": "BYTES", "shape": [-1, 1]}
        one = [{"name": "text_input", **port}]
        self.answer(200, {"name": "talk", "ready": True, "inputs": one, "outputs": [{"name": "text_output", **port}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("/infer"):
            return self.answer(400, {"error": "this model generates"})
        if breaks == "first":
            return self.answer(500, {"error": "no more"})
        if breaks == "middle":
            # All in one piece, so that the break is there when the head is.
            self.connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n")
            self.close_connection = True
            return self.connection.close()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("set-cookie", "session=stolen")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for word in asked["text_input"].split():
                self.chunk(b"data: %s\n\n" % json.dumps({"text_output": word, "token": self.headers.get("authorization")}).encode())
            while asked.get("endless"):
                self.chunk(b": still here\n\n" * 512)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            gone.append(asked["id"])
            self.close_connection = True

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with Server(("127.0.0.1", int(os.environ["PORT"])), Handler) as server:
    server.serve_forever()
