#!/usr/bin/env python3
"""A gibibyte up and down by curl over loopback, beside a plain copy of the same file; memory while five go through.

Takes about 20 GiB of room in the folder for temporary files (TMPDIR), which is best on the disk that matters.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from project import GYRE

ROUNDS = 5
GIB = 1 << 30
FILES = "/api/2.0/mlflow-artifacts/artifacts"


def random_file(path, size):
    with open(path, "wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())


def timed(*command):
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def resident(pid, key="VmRSS"):
    """MiB in memory; RssAnon is what is not a mapped file."""
    return int(re.search(rf"{key}:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1024


@contextlib.contextmanager
def served(folder):
    announced = folder / ".gyre" / "server.json"
    process = subprocess.Popen([GYRE, "up", "-C", folder, "--listen", "127.0.0.1:0"], stderr=subprocess.DEVNULL)
    try:
        while not announced.exists() or not announced.read_text():
            if process.poll() is not None:
                raise SystemExit(f"gyre up ended with {process.returncode}")
            time.sleep(0.001)
        yield json.loads(announced.read_text())["url"], process.pid
    finally:
        process.terminate()
        process.wait()


def up(url, source, name):
    return timed("curl", "-sf", "-T", source, f"{url}{FILES}/{name}")


def down(url, name, target):
    return timed("curl", "-sf", "-o", target, f"{url}{FILES}/{name}")


def delete(url, name):
    urllib.request.urlopen(urllib.request.Request(f"{url}{FILES}/{name}", method="DELETE")).read()


def main():
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        project = folder / "project"
        project.mkdir()
        source, target = folder / "source", folder / "target"
        random_file(source, GIB)
        times = {"cp": [], "cp and fsync": [], "up": [], "down": [], "up, there already": []}
        with served(project) as (url, pid):
            for round_ in range(ROUNDS):
                # The first bytes differ in each round, so that the content is new to the store.
                with open(source, "r+b") as file:
                    file.write(os.urandom(16))
                    os.fsync(file.fileno())
                target.unlink(missing_ok=True)
                times["cp"].append(timed("cp", "--reflink=never", source, target))
                os.sync()
                target.unlink()
                times["cp and fsync"].append(
                    timed("sh", "-c", 'cp --reflink=never "$0" "$1" && sync "$1"', source, target)
                )
                target.unlink()
                os.sync()
                times["up"].append(up(url, source, f"bench/{round_}"))
                times["up, there already"].append(up(url, source, f"bench/again{round_}"))
                times["down"].append(down(url, f"bench/{round_}", target))
                subprocess.run(["cmp", source, target], check=True)
                os.sync()
            print(f"resident after {ROUNDS} rounds: {resident(pid):.0f} MiB")
            median = {what: statistics.median(seconds) for what, seconds in times.items()}
            for what, seconds in times.items():
                print(
                    f"{what:20} {1024 / median[what]:7.0f} MiB/s   "
                    f"({1024 / max(seconds):.0f} to {1024 / min(seconds):.0f})"
                )
            for what, beside in [("up", "cp and fsync"), ("up", "cp"), ("down", "cp")]:
                share = median[beside] / median[what]
                target_share = 0.6 if (what, beside) != ("up", "cp") else 0.0
                met = share >= target_share
                missed += not met
                verdict = "      " if target_share == 0.0 else "met   " if met else "MISSED"
                print(f"{verdict} {what} / {beside}: {share:.2f} (>= {target_share})")
        shutil.rmtree(project)
        project.mkdir()
        source.unlink()
        target.unlink()
        random_file(source, 5 * GIB)
        with served(project) as (url, pid):
            idle, peak, done = resident(pid), [0.0], threading.Event()

            def watch():
                while not done.wait(0.02):
                    peak[0] = max(peak[0], resident(pid))

            watcher = threading.Thread(target=watch)
            watcher.start()
            seconds = up(url, source, "bench/five")
            risen = peak[0]
            seconds_down = timed("curl", "-sf", "-o", "/dev/null", f"{url}{FILES}/bench/five")
            done.set()
            watcher.join()
            print(f"5 GiB: up {seconds:.1f} s, down {seconds_down:.1f} s; resident {idle:.0f} MiB idle,")
            met = peak[0] <= 150
            missed += not met
            print(f"{'met   ' if met else 'MISSED'} {risen:.0f} MiB up, {peak[0]:.0f} MiB in all (<= 150)")
    sys.exit(missed > 0)


main()
