#!/usr/bin/env python3
# ctest: timeout=120 beside
"""One side's NAT draws a port for each destination, the other lets in only whom it sent to: found by a search, inside its budget.

    coord
      |
    inet ---- [masquerade fully-random] ---- a1
        `---- [port-restricted, keeps or changes ports] ---- b1
"""
import os
import time

from harness import Mesh, Site, check, main, wait_until


def search(mesh, host, other):
    return mesh.nodes[host].ask("why", peer=other)["search"]


def _found(kind, limit=16):
    with Mesh([Site("a", "symrand"), Site("b", kind)]) as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        for attempt in range(3):  # one search in twenty finds nothing: the next one is not waited for, a new life begins
            with mesh.pinger("a1", "b1") as pinger:
                wait_until(lambda: pinger.answered, 1, "a ping is answered")
                begin = time.monotonic()
                while time.monotonic() - begin < limit and mesh.kind("a1", "b1") != "direct":
                    time.sleep(0.05)
                took = time.monotonic() - begin
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
