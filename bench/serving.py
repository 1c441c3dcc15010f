#!/usr/bin/env python3
"""One prediction over HTTP with the in-process model: wrk on the same machine, 1 and 16 connections."""

import subprocess
import tempfile

from project import REQUEST, served

SCRIPT = f"""
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = [==[{REQUEST}]==]
done = function(summary, latency, requests)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format("p50 %.3f ms  p99 %.3f ms  %.0f requests/s  %d failed\\n", latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, summary.requests / summary.duration * 1e6, failed))
end
"""

with served() as (_, url, _), tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
    script.write(SCRIPT)
    script.flush()
    for connections in (1, 16):
        for _ in range(3):
            done = subprocess.run(
                ["wrk", "-t1", f"-c{connections}", "-d5s", "-s", script.name, f"{url}/v2/models/air-time/infer"],
                stdout=subprocess.PIPE, text=True, check=True,
            )
            print(f"{connections:2} connections: {done.stdout.splitlines()[-1]}")
