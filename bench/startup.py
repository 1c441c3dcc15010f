#!/usr/bin/env python3
"""Time from `gyre up` to its first answer on an empty state, and resident memory when idle."""

import pathlib
import shutil
import statistics
import tempfile
import time

from project import ROOT, rss_mib, start

times, memory = [], []
for _ in range(11):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / "flights"
        shutil.copytree(ROOT / "examples" / "flights", folder)
        process, _, seconds = start(folder)
        time.sleep(0.5)
        times.append(seconds * 1e3)
        memory.append(rss_mib(process))
        process.terminate()
        process.wait(30)
for name, values in [("first answer, ms", times), ("idle memory, MiB", memory)]:
    print(f"{name:20} median {statistics.median(values):7.1f}  min {min(values):7.1f}  max {max(values):7.1f}")
