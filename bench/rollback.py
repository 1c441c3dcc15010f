#!/usr/bin/env python3
"""`gyre rollback` under load: how long the command takes, when the last answer of the old champion came, failures."""

import http.client
import json
import statistics
import subprocess
import threading
import time
import urllib.parse

from project import GYRE, REQUEST, post, served

ROUNDS = 5


def client(url, answers, stop):
    address = urllib.parse.urlparse(url)
    connection = http.client.HTTPConnection(address.hostname, address.port)
    while not stop.is_set():
        connection.request("POST", "/v2/models/air-time/infer", REQUEST, {"content-type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        version = json.loads(body)["model_version"] if answer.status == 200 else None
        answers.append((time.perf_counter(), version))


with served(trainings=1) as (folder, url, _):
    # A second version, promoted by hand if its gates let it; the first stays loaded as the one to go back to.
    as_of = "2013-05-01T00:00:00Z"
    post(url, "/v1/watermark", {"time": as_of, "wait": True})
    post(url, "/v1/models/air-time/train", {"window": "56d", "as_of": as_of})
    post(url, "/v1/watermark", {"time": as_of, "wait": True})
    took, moved, failed, total = [], [], 0, 0
    for _ in range(ROUNDS):
        subprocess.run([GYRE, "model", "promote", "air-time", "2", "-C", folder], check=True, stdout=subprocess.DEVNULL)
        answers, stop = [], threading.Event()
        crew = [threading.Thread(target=client, args=(url, answers, stop)) for _ in range(4)]
        [thread.start() for thread in crew]
        while len(answers) < 200:
            time.sleep(0.01)
        begun = time.perf_counter()
        subprocess.run([GYRE, "rollback", "air-time", "-C", folder], check=True, stdout=subprocess.DEVNULL)
        took.append((time.perf_counter() - begun) * 1e3)
        time.sleep(0.3)
        stop.set()
        [thread.join() for thread in crew]
        after = [at for at, version in answers if version == "2" and at > begun]
        moved.append((max(after, default=begun) - begun) * 1e3)
        failed += sum(version is None for _, version in answers)
        total += len(answers)
    print(f"command           median {statistics.median(took):6.1f} ms  max {max(took):6.1f} ms")
    print(f"all traffic moved median {statistics.median(moved):6.1f} ms  max {max(moved):6.1f} ms after the command began")
    print(f"failed requests   {failed} of {total}")
