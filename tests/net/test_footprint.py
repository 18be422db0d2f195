#!/usr/bin/env python3
# ctest: timeout=180 labels=release
"""An idle peer that has talked with ten others holds under 16 MiB and wakes up less than twice a second.

    coord
      |
    inet ---- [masquerade] ---- a1        measured
        `---- [masquerade] ---- b1 ... k1
"""
import time

from harness import Mesh, Site, check, main, memory_mib, voluntary_switches, wait_until

QUIET_SECONDS, MEASURED_SECONDS = 30, 30


def small_and_quiet():
    with Mesh([Site(n, "port") for n in "abcdefghijk"]) as mesh:
        hosts = mesh.lab.hosts()
        mesh.start("coord", *hosts)
        mesh.wait_registered(*hosts, within=10)
        for other in hosts[1:]:
            check(mesh.ping("a1", other, 2) is not None, f"a1 does not reach {other}")
        wait_until(lambda: all(mesh.kind("a1", h) == "direct" for h in hosts[1:]), 5, "a1 is direct with all ten")
        for host in ("a1", "coord"):
            pid = mesh.nodes[host].process.pid
            busy = voluntary_switches(pid)
            if host == "a1":
                mesh.ping("a1", "b1", 1)
                check(voluntary_switches(pid) > busy, "the count stands still even while packets pass")
                time.sleep(QUIET_SECONDS)
            begin, before = time.monotonic(), voluntary_switches(pid)
            time.sleep(MEASURED_SECONDS)
            rate = (voluntary_switches(pid) - before) / (time.monotonic() - begin)
            rss = memory_mib(pid)[0]
            print(f"  {host}: {rss:.1f} MiB, {rate:.2f} wake-ups a second")
            check(rss < 16, f"{host}: {rss:.1f} MiB")
            check(host == "coord" or rate < 2, f"{host}: {rate:.2f} wake-ups a second")


main(small_and_quiet)
