"""A model in Python that speaks the Open Inference Protocol, on a Unix socket or a port, with nothing but the standard library."""
import json, os, socketserver
from http.server import BaseHTTPRequestHandler


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, said):
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        port = {"datatype": "FP64", "shape": [-1, 1]}
        inputs = [{"name": "size", **port}, {"name": "rooms", **port}]
        self.answer({"name": "flat", "ready": True, "inputs": inputs, "outputs": [{"name": "price", **port}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        size = next(tensor["data"] for tensor in asked["inputs"] if tensor["name"] == "size")
        prices = [100.0 if (one[0] if isinstance(one, list) else one) < 50 else 200.0 for one in size]
        output = {"name": "price", "datatype": "FP64", "shape": [len(prices), 1], "data": prices}
        self.answer({"model_name": "flat", "outputs": [output]})

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with Server(("127.0.0.1", int(os.environ["PORT"])), Handler) as server:
    server.serve_forever()
