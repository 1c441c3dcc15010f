"""A model server for tests that speaks V2, one request at a time: y = 2 x + 1, unless a row's `mode` asks for trouble.

Arguments: --binary (tensors in binary), --slow-start SECONDS, --never-ready, --crash, --stubborn (ignores SIGTERM),
--children (leaves a child behind and prints its number), --calls (prints the rows of each call), --probes
(prints each probe).
"""

import json
import os
import signal
import struct
import subprocess
import sys
import time

from listening import Handler, serve

ARGUMENTS = sys.argv[1:]
LEAK = []


def read_column(tensor, tail):
    size = tensor.get("parameters", {}).get("binary_data_size")
    if size is None:
        return tensor["data"], tail
    data, tail = tail[:size], tail[size:]
    if tensor["datatype"] == "FP64":
        return list(struct.unpack(f"<{size // 8}d", data)), tail
    texts = []
    while data:
        (length,) = struct.unpack("<I", data[:4])
        texts.append(data[4 : 4 + length].decode())
        data = data[4 + length :]
    return texts, tail


class Model(Handler):
    def do_GET(self):
        if self.path == "/v2":
            extensions = ["binary_tensor_data"] if "--binary" in ARGUMENTS else []
            self.answer(200, {"name": "test", "version": "1", "extensions": extensions})
        elif self.path == "/v2/models/m":
            inputs = [
                {"name": "x", "datatype": "FP64", "shape": [-1, 1]},
                {"name": "mode", "datatype": "BYTES", "shape": [-1, 1]},
            ]
            self.answer(200, {"name": "m", "inputs": inputs, "outputs": []})
        elif self.path == "/v2/models/m/ready":
            if "--probes" in ARGUMENTS:
                print("probe", flush=True)
            self.answer(503 if "--never-ready" in ARGUMENTS else 200, {"ready": True})
        elif self.path == "/environment":
            self.answer(200, dict(os.environ))
        else:
            self.answer(404, {"error": "not here"})

    def do_POST(self):
        body = self.body()
        header = self.headers.get("inference-header-content-length")
        head, tail = (body, b"") if header is None else (body[: int(header)], body[int(header) :])
        request = json.loads(head)
        columns = {}
        for tensor in request["inputs"]:
            columns[tensor["name"]], tail = read_column(tensor, tail)
        x, modes = columns["x"], columns["mode"]
        if "--calls" in ARGUMENTS:
            print("call", len(x), flush=True)
        y = [float("nan") if value is None else 2.0 * value + 1.0 for value in x]
        if "slow" in modes:
            time.sleep(0.2)
        for mode in modes:
            # Waits until the test makes a file.
            while mode.startswith("gate:") and not os.path.exists(mode[5:]):
                time.sleep(0.002)
        if "hang" in modes:
            time.sleep(3600)
        if "crash" in modes:
            print("this row is too much", flush=True)
            os._exit(3)
        if "leak" in modes:
            LEAK.append(b"x" * (300 << 20))
        if "close" in modes:
            self.close_connection = True
            self.connection.close()
            return
        if "busy" in modes:
            return self.answer(503, {"error": "busy"}, [("retry-after", "7")])
        if "fail" in modes:
            return self.answer(400, {"error": "bad row"})
        if "garbage" in modes:
            return self.answer(200, b"<html>hello</html>")
        if "big" in modes:
            return self.answer(200, b"[" + b" " * (2 << 20) + b"]")
        if "rows" in modes:
            y = y[:-1]
        y = [float("nan") if mode == "nan" else value for value, mode in zip(y, modes)]
        output = {"name": "y", "datatype": "FP64", "shape": [len(y), 1]}
        answer = {"model_name": "m", "outputs": [output]}
        if header is None or not request.get("parameters", {}).get("binary_data_output"):
            output["data"] = y
            return self.answer(200, answer)
        data = struct.pack(f"<{len(y)}d", *y)
        output["parameters"] = {"binary_data_size": len(data)}
        head = json.dumps(answer).encode()
        self.answer(200, head + data, [("inference-header-content-length", str(len(head)))])


if "--crash" in ARGUMENTS:
    sys.exit("cannot find the model file")
if "--stubborn" in ARGUMENTS:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "--children" in ARGUMENTS:
    child = subprocess.Popen(["sleep", "1000"])
    print("child", child.pid, flush=True)
if "--slow-start" in ARGUMENTS:
    time.sleep(float(ARGUMENTS[ARGUMENTS.index("--slow-start") + 1]))
serve(Model)
