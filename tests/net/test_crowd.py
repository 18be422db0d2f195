#!/usr/bin/env python3
# ctest: timeout=180 labels=release
"""A peer that is in contact with two hundred others holds under 16 MiB, and while all are idle it wakes up less than 30 times a second.

    coord
      |
    inet ---- [masquerade] ---- a1               measured
        `---- [masquerade] ---- b1 ... b200

In contact: with each a session, a direct path, and packets as long as the path carries, both ways; with one of them as fast as it
goes, so that every buffer has been used.
"""
import time

from harness import FACTOR, Mesh, Site, check, main, memory_mib, voluntary_switches, wait_until
from traffic import echo_all

CROWD, TOGETHER = 200, 25
LIMIT_MIB, RATE_LIMIT = 16, 30
QUIET_SECONDS, MEASURED_SECONDS = 4, 18  # in 18 s each path is kept open once by either end


def small_in_a_crowd():
    with Mesh([Site("a", "port"), Site("b", "port", hosts=CROWD)]) as mesh:
        crowd = mesh.lab.hosts()[1:]
        addresses = [mesh.overlay(h) for h in crowd]
        for host in crowd:
            mesh.configure_peer(host, "workers = 1")
        mesh.start("coord", "a1")
        for i in range(0, CROWD, TOGETHER):
            mesh.start(*crowd[i:i + TOGETHER])
            mesh.wait_registered("a1", *crowd[:i + TOGETHER], within=20 * FACTOR)
        pid = mesh.nodes["a1"].process.pid
        alone = memory_mib(pid)

        def direct():
            peers = {p["name"]: p for p in mesh.nodes["a1"].ask("peers")["peers"]}
            return all(peers[h]["state"] == "up" and peers[h]["path"]["kind"] == "direct" for h in crowd)
        begin = time.monotonic()
        echo_all(mesh.lab, {"a1": addresses}, 56, 30)
        wait_until(direct, 20, "a1 is direct with all")
        print(f"  direct with {CROWD} in {time.monotonic() - begin:.1f} s")
        for _ in range(3):
            echo_all(mesh.lab, {"a1": addresses}, 1300, 10)
        for source, target in (("a1", "b1"), ("b1", "a1")):
            with mesh.transfer(source, target, mbit=0) as transfer:
                wait_until(lambda: transfer.got > 30_000_000 or transfer.error, 20, "30 MB arrive")
                transfer.finish()
        check(direct(), "a1 is not direct with all any more")
        rss, anonymous, files = memory_mib(pid)
        print(f"  a1: {rss:.1f} MiB, {anonymous:.1f} of them anonymous and {files:.1f} of files; before, {alone[0]:.1f} and {alone[1]:.1f}")
        check(rss < LIMIT_MIB, f"a1 holds {rss:.1f} MiB")
        time.sleep(QUIET_SECONDS)
        begin, before = time.monotonic(), voluntary_switches(pid)
        time.sleep(MEASURED_SECONDS)
        rate = (voluntary_switches(pid) - before) / (time.monotonic() - begin)
        print(f"  with {CROWD} idle paths: {rate:.1f} wake-ups a second")
        check(rate < RATE_LIMIT, f"{rate:.1f} wake-ups a second")


main(small_in_a_crowd)
