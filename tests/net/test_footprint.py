#!/usr/bin/env python3
# ctest: timeout=240 labels=release
"""An idle peer that has talked with ten others holds under 16 MiB and wakes up less than twice a second; one that only knows of fifty
does hardly anything but keep its way to the coordinator open.

    coord                                 knows of 40 more members, who are not there
      |
    inet ---- [masquerade] ---- a1        measured
        `---- [masquerade] ---- b1 ... k1
"""
import base64
import os
import socket
import time

from harness import Capture, Mesh, Site, check, main, memory_mib, voluntary_switches, wait_until

QUIET_SECONDS, MEASURED_SECONDS = 30, 30
KNOWN = 50
WAKE_UPS_A_MINUTE, BYTES_A_MINUTE = 4, 1024  # beside keepalives
# Of one TCP connection and one UDP mapping, however many are known, and of finding out how seldom will do.
KEEPALIVE_BYTES_A_MINUTE = 3000


def knows_many(mesh):
    """Before it talks with anybody."""
    pid = mesh.nodes["a1"].process.pid
    known = wait_until(lambda: (p := mesh.nodes["a1"].ask("peers")["peers"]) and len(p) >= KNOWN and p, 5, f"it knows of {KNOWN}")
    check(all(p["state"] in ("idle", "down") for p in known), "it is in contact")
    port = mesh.nodes["a1"].ask("status")["underlay"]["port"]
    time.sleep(QUIET_SECONDS)
    with Capture(mesh.lab.ns("a1"), "eth0") as wire:
        begin, before = time.monotonic(), voluntary_switches(pid)
        time.sleep(MEASURED_SECONDS)
        minutes, woken = (time.monotonic() - begin) / 60, voluntary_switches(pid) - before
    coordinator = socket.inet_aton(mesh.lab.ip("coord"))
    keeps, beside, wakes = 0, 0, 0
    for out, f in wire.frames:
        kept = f[12:14] == b"\x08\0" and coordinator in (f[26:30], f[30:34])
        keeps, beside = keeps + kept * (len(f) - 14), beside + (not kept) * (len(f) - 14)
        if kept and f[23] == 17:
            # What comes to the node's port wakes a worker, which wakes the loop.
            wakes += 2 if not out and int.from_bytes(f[36:38], "big") == port else 1
        elif kept and int.from_bytes(f[16:18], "big") > 20 + (f[46] >> 4) * 4:
            wakes += 1  # not what the kernel says to the kernel
    print(f"  a1 knows of {len(known)}: {woken / minutes:.0f} wake-ups a minute, of which {wakes / minutes:.0f} keep its way to the "
          f"coordinator open, with {keeps / minutes:.0f} bytes; {beside / minutes:.0f} bytes beside")
    check((woken - wakes) / minutes <= WAKE_UPS_A_MINUTE, f"{(woken - wakes) / minutes:.1f} wake-ups a minute beside keepalives")
    check(beside / minutes <= BYTES_A_MINUTE, f"{beside / minutes:.0f} bytes a minute beside keepalives")
    check(keeps / minutes <= KEEPALIVE_BYTES_A_MINUTE, f"{keeps / minutes:.0f} bytes a minute of keepalives")


def small_and_quiet():
    absent = "".join(f'member "absent{i}" {{ public_key = "{base64.b64encode(os.urandom(32)).decode()}" }}\n' for i in range(KNOWN - 10))
    with Mesh([Site(n, "port") for n in "abcdefghijk"], settings=absent) as mesh:
        hosts = mesh.lab.hosts()
        mesh.start("coord", *hosts)
        mesh.wait_registered(*hosts, within=10)
        knows_many(mesh)
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
