#!/usr/bin/env python3
# ctest: timeout=120 beside
"""One side's NAT draws a port for each destination, the other lets in only whom it sent to: found by a search, inside its budget as
the gateways see it, and only one at a time.

    coord
      |
    inet ---- [masquerade fully-random] ---- a1        what leaves each site is captured here
        |---- [port-restricted, keeps or changes ports] ---- b1
        `---- [port-restricted] ---- c1
"""
import contextlib
import os
import socket
import time

from harness import Capture, Mesh, Site, check, main, wait_until
from traffic import busiest

MAPPINGS, A_SECOND = 256, 100
PLAIN = 2  # mappings that plain checks make
PROBE_BYTES = 14 + 20 + 8 + 16 + 40 + 16  # longer is what goes over the path that was found: data, and the search for its MTU


def search(mesh, host, other):
    return mesh.nodes[host].ask("why", peer=other)["search"]


def running(mesh, host, other):
    s = search(mesh, host, other)
    return bool(s) and s["result"] == "running"


def leaves(capture, source, target, until):
    """When probes, and what is as small, left one site for the other, and from which outside port."""
    frames = zip(list(capture.times), list(capture.frames))
    return [(t, f[34:36]) for t, (out, f) in frames if not out and t <= until and f[12:14] == b"\x08\0" and f[23] == 17 and
            len(f) <= PROBE_BYTES and f[26:34] == socket.inet_aton(source) + socket.inet_aton(target)]


def watch(mesh, limit):
    """Until a1 and b1 are direct. Another pair wants a search meanwhile."""
    begin = time.monotonic()
    with contextlib.ExitStack() as other:
        is_wanted = False
        while time.monotonic() - begin < limit and mesh.kind("a1", "b1") != "direct":
            if running(mesh, "a1", "b1"):
                if not is_wanted and mesh.nodes["c1"].process:
                    other.enter_context(mesh.pinger("a1", "c1", interval=0.5))
                    is_wanted = True
                check(not (running(mesh, "a1", "c1") and running(mesh, "a1", "b1")), "two searches at a time")
            time.sleep(0.05)
        check(is_wanted or mesh.kind("a1", "b1") == "direct", "there was no search")


def _found(kind, limit=16):
    with Mesh([Site("a", "symrand"), Site("b", kind), Site("c", "port")]) as mesh, contextlib.ExitStack() as stack:
        mesh.start("coord", "a1", "b1", "c1")
        mesh.wait_registered("a1", "b1", "c1")
        wires = {n: stack.enter_context(Capture(mesh.lab.ns("inet"), n if n in mesh.lab.links else n + "1")) for n in "ab"}
        for attempt in range(3):  # one search in twenty finds nothing: the next one is not waited for, a new life begins
            with mesh.pinger("a1", "b1") as pinger:
                wait_until(lambda: pinger.answered, 1, "a ping is answered")
                begin = time.monotonic()
                searched = time.time()
                watch(mesh, limit)
                took, until = time.monotonic() - begin, time.time()
                for n, other in ("a", "b"), ("b", "a"):
                    sent = [d for d in leaves(wires[n], mesh.lab.pub[n], mesh.lab.pub[other], until) if d[0] >= searched]
                    rate, mappings = busiest([t for t, _ in sent]), len({port for _, port in sent})
                    print(f"  {n}: {rate} datagrams a second at most, {mappings} mappings")
                    check(0 < rate <= A_SECOND, f"{rate} datagrams left {n} for {other} within a second")
                    check(mappings <= (MAPPINGS if n == "a" else 0) + PLAIN, f"{n} made {mappings} mappings")
                if mesh.nodes["c1"].process:
                    mesh.nodes["c1"].stop()  # its turn would be now
                if mesh.kind("a1", "b1") == "direct":
                    mesh.wait_path("a1", "b1", "direct", within=2)
                    time.sleep(1)
                    lost = len(pinger.sent) - len(pinger.answered)
                    check(lost <= 2, f"{lost} of {len(pinger.sent)} pings lost while the path changed")
                    break
            said = search(mesh, "a1", "b1")
            check(said["sockets"] == 256 and said["result"] == "nothing", f"gave up with {said}")
            check(said["next"], "no next search is named")
            for host in ("a1", "b1"):
                mesh.nodes[host].stop()
            mesh.lab.rebind("a")
            mesh.start("a1", "b1")
        else:
            check(False, "three searches found nothing")
        asker, helper = search(mesh, "a1", "b1"), search(mesh, "b1", "a1")
        check(asker["method"] == "birthday" and asker["is_asker"] and not helper["is_asker"], f"{asker} {helper}")
        check(asker["result"] == "found" and helper["result"] == "found", f"{asker} {helper}")
        check(asker["sockets"] <= 256 and asker["probes"] <= 256, f"over the budget: {asker}")
        check(helper["sockets"] == 0 and helper["probes"] <= 1200, f"over the budget: {helper}")
        # The others of its sockets are closed, and data crosses the one that stays.
        wait_until(lambda: len(os.listdir(f"/proc/{mesh.nodes['a1'].process.pid}/fd")) < 60, 3, "spare sockets are closed")
        # A host's firewall lets nobody begin a connection inside the tunnel either.
        for source, target in [("b1", "a1")] + [("a1", "b1")] * (kind != "openfw"):
            with mesh.transfer(source, target, mbit=0) as t:
                wait_until(lambda: t.got > 2_000_000, 20, f"2 MB from {source} to {target}")
            check(t.got_hash.digest() == t.sent_hash.digest(), "other bytes arrived")
        check(mesh.kind("a1", "b1") == "direct" and mesh.kind("b1", "a1") == "direct", "the path did not last")
        print(f"  found after {took:.1f} s: {asker['sockets']} sockets, {helper['probes']} probes")


def drawn_ports_meet_a_port_restricted_nat():
    _found("port")


def drawn_ports_meet_a_firewall():
    _found("openfw")


main(drawn_ports_meet_a_port_restricted_nat, drawn_ports_meet_a_firewall)
