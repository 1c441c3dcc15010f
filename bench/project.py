"""A served project for the benchmarks: the flights example, its first version trained, the server up."""

import contextlib
import json
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
GYRE = ROOT / "target" / "release" / "gyre"


def post(url, path, body=None):
    data = b"" if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.loads(answer.read() or b"null")


def get(url, path):
    with urllib.request.urlopen(url + path, timeout=30) as answer:
        return answer.read()


def start(folder):
    """Starts `gyre up` and waits for its first answer; returns the process, the URL and the seconds it took."""
    announced = folder / ".gyre" / "server.json"
    announced.unlink(missing_ok=True)
    begun = time.perf_counter()
    process = subprocess.Popen(
        [GYRE, "up", "-C", folder, "--listen", "127.0.0.1:0", "--replay"], stderr=subprocess.DEVNULL
    )
    while True:
        with contextlib.suppress(OSError, ValueError):
            url = json.loads(announced.read_text())["url"]
            get(url, "/health")
            return process, url, time.perf_counter() - begun
        if process.poll() is not None:
            raise SystemExit(f"gyre up ended with {process.returncode}")
        time.sleep(0.0005)


@contextlib.contextmanager
def served(trainings=1):
    """The flights example in a folder of its own, with so many trained versions, served."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / "flights"
        shutil.copytree(ROOT / "examples" / "flights", folder)
        process, url, _ = start(folder)
        try:
            for month in range(trainings):
                as_of = f"2013-{3 + 2 * month:02}-01T00:00:00Z"
                post(url, "/v1/watermark", {"time": as_of, "wait": True})
                post(url, "/v1/models/air-time/train", {"window": "56d", "as_of": as_of})
                post(url, "/v1/watermark", {"time": as_of, "wait": True})
            yield folder, url, process
        finally:
            process.terminate()
            process.wait(30)


def rss_mib(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


REQUEST = json.dumps({
    "id": "1",
    "parameters": {"event_time": "2013-05-02T10:00:00Z"},
    "inputs": [
        {"name": name, "shape": [1], "datatype": datatype, "data": [value]}
        for name, datatype, value in [
            ("carrier", "BYTES", "UA"), ("origin", "BYTES", "EWR"), ("dest", "BYTES", "IAH"),
            ("distance_miles", "FP64", 1400), ("hour", "FP64", 5), ("dow", "FP64", 2),
        ]
    ],
})
