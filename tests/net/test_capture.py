#!/usr/bin/env python3
# ctest: timeout=60 beside
"""Packets of the tunnel, captured: tcpdump reads the file, and a capture that nobody wants any more ends.

    coord
      |
    inet ---- a1, b1   public hosts
"""
import os
import re
import signal
import struct
import subprocess
import time

from harness import FACTOR, check, main, wait_until
from two import ctl, ended, mesh_of_two, start


def captured_packets_are_read_by_tcpdump():
    with mesh_of_two() as mesh:
        start(mesh)
        path = f"{mesh.dir}/capture.pcapng"
        p = ctl(mesh, "a1", "capture", "-o", path, "--peer", "b1", stderr=subprocess.PIPE, text=True)
        wait_until(lambda: os.path.exists(path) and os.path.getsize(path) > 0, 3 * FACTOR, "a file")
        check(mesh.ctl("a1", "capture", "-o", f"{path}.2").returncode == 1, "two capture at once")
        with mesh.pinger("a1", "b1", interval=0.02) as pinger:
            wait_until(lambda: len(pinger.answered) >= 20, 5, "20 answers")
            n = len(pinger.answered)
        time.sleep(0.1)
        p.send_signal(signal.SIGINT)
        said = p.communicate(timeout=5 * FACTOR)[1]
        check(p.returncode == 0 and re.search(r"\d+ packets, 0 left out", said), f"capture ends with {p.returncode}: {said}")
        listing = subprocess.run(["tcpdump", "-nr", path], capture_output=True, text=True).stdout.splitlines()
        requests = [line for line in listing if "ICMP echo request" in line and line.split()[2] == mesh.overlay("a1")]
        replies = [line for line in listing if "ICMP echo reply" in line and line.split()[2] == mesh.overlay("b1")]
        check(len(requests) >= n and len(replies) >= n, f"{len(requests)} requests, {len(replies)} replies of {n}: {listing[:3]}")
        data = open(path, "rb").read()
        comments, directions = 0, set()
        while data:  # blocks: type, length, ..., length
            kind, length = struct.unpack("=II", data[:8])
            check(length == struct.unpack("=I", data[length - 4:length])[0], "a block's two lengths differ")
            if kind == 6:
                captured, = struct.unpack("=I", data[20:24])
                options = data[28 + (captured + 3) // 4 * 4:length - 4]
                while options:
                    code, size = struct.unpack("=HH", options[:4])
                    if code == 1:
                        comments += options[4:4 + size] == b"b1"
                    elif code == 2:
                        directions.add(struct.unpack("=I", options[4:8])[0])
                    options = options[4 + (size + 3) // 4 * 4:] if code else b""
            data = data[length:]
        check(comments >= 2 * n and directions == {1, 2}, f"{comments} comments, directions {directions}")


def a_reader_that_goes_ends_the_capture():
    with mesh_of_two() as mesh:
        start(mesh)
        p = ctl(mesh, "a1", "capture", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdout.read(4)
        p.stdout.close()
        with mesh.pinger("a1", "b1", interval=0.05):
            check(ended(p, "capture") == 0, f"capture ends with {p.returncode} when nobody reads")
            p.stderr.close()
            few = mesh.ctl("a1", "capture", "-c", "3", "-o", f"{mesh.dir}/few")
        check(few.returncode == 0 and re.match(r"[3-9]|\d\d+ packets", few.stderr), f"three packets: {few}")
        # One that is killed loses its place by itself.
        p = ctl(mesh, "a1", "capture", "-o", f"{mesh.dir}/killed", stderr=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(f"{mesh.dir}/killed"), 3 * FACTOR, "a file")
        p.kill()
        p.wait()

        def begins():
            q = ctl(mesh, "a1", "capture", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            try:
                return q.stdout.read(4) != b""
            finally:
                q.stdout.close()
                q.terminate()
                q.wait()
        wait_until(begins, 8, "another capture may begin")


main(captured_packets_are_read_by_tcpdump, a_reader_that_goes_ends_the_capture)
