#!/usr/bin/env python3
# ctest: timeout=90 beside
"""A list of revoked members that has an end bounds what a coordinator can hide; and nothing ends where none is said.

    coord (network_key, no member block)
      |
    inet ---- [open] ---- a1  <==ping==>  b1
        `---- [open] ---- b1"""
import re
import time

import certs
from harness import FACTOR, Mesh, Site, check, main, wait_until

SITES = [Site("a", "open"), Site("b", "open")]


def refused(mesh, host, other):
    """The words for why there is no session, if it is for a certificate."""
    document = mesh.nodes[host].ask("why", peer=other)
    return document["text"] if document["cause"] == "key-refused" and document["state"] == "down" else None


def list_with_an_end_bounds_what_a_coordinator_can_hide():
    """Two members in contact; the list of the revoked ends (60 s of skew later) in a moment, and no coordinator is there."""
    with Mesh(SITES, trust=True) as mesh:
        left = 6 * FACTOR
        mesh.start("coord")
        r = mesh.ctl("coord", "node", "refresh", "--signing-key", mesh.network.path, "--expires", "2h")
        check(r.returncode == 0 and re.search(r"^list 1 with 0 entries is in force until 20", r.stdout), f"refresh: {r}")
        r = mesh.ctl("coord", "node", "refresh", "--signing-key", mesh.network.path, "--expires", "1m")
        check(r.returncode == 64, f"a list that is over before it is anywhere is no list: {r}")
        mesh.nodes["coord"].stop()
        short = certs.revocations(mesh.network, 2, [], expires=-60 + int(left))
        with open(f"{mesh.dir}/coord.state/revocations", "wb") as f:
            f.write(short)
        begin = time.monotonic()
        mesh.start("coord", "a1", "b1")
        check(mesh.ping("a1", "b1", 5) is not None, "a1 reaches b1 as long as the list is good")
        mesh.wait_path("a1", "b1", "direct", within=5)
        wait_until(lambda: mesh.nodes["a1"].ask("status")["certificate"]["revocations"] == 2, 5, "a1 has the list")
        for host in ("coord", "a1"):
            status = mesh.nodes[host].ask("status")
            check(any("list of revoked members" in n for n in status["notices"]), f"{host} warns ahead: {status['notices']}")
        mesh.nodes["coord"].kill()
        reason = "the peer: its certificate cannot be checked: the list of revoked members has expired"
        wait_until(lambda: reason in (refused(mesh, "a1", "b1") or ""), left + 5, "a1's session with b1 ends", begin)
        check(mesh.ping("a1", "b1", 1) is None, "a1 reaches b1 no more")
        check(mesh.peer("a1", "b1")["state"] == "down", "but shows it")
        check(any("has expired" in n for n in mesh.nodes["a1"].ask("status")["notices"]), "and complains of the list")
        # A coordinator whose own has expired lets nodes in, or nobody could bring the next.
        mesh.start("coord")
        mesh.wait_registered("a1", "b1", within=10)
        check(mesh.ping("a1", "b1", 1) is None, "a1 does not reach b1 by it")
        r = mesh.ctl("coord", "node", "refresh", "--signing-key", mesh.network.path, "--expires", "30d")
        check(r.returncode == 0 and "list 3 with 0 entries" in r.stdout, f"refresh: {r}")
        check(mesh.ping("a1", "b1", 5) is not None, "a1 reaches b1 again when there is a new list")
        # The next one lives as long as the one before, unless it is said.
        expires = mesh.nodes["coord"].ask("revocations")["expires"]
        r = mesh.ctl("coord", "node", "revoke", mesh.keys["coord"].public, "--signing-key", mesh.network.path)
        again = mesh.nodes["coord"].ask("revocations")
        check(r.returncode == 0 and again["expires"] >= expires and again["entries"] == 1, f"revoke: {r}, {again}")
        r = mesh.ctl("coord", "node", "refresh", "--signing-key", mesh.network.path, "--expires", "none")
        again = mesh.nodes["coord"].ask("revocations")
        check(again["expires"] is None and again["entries"] == 1 and again["epoch"] == 5, f"refresh: {r}, {again}")
        check(not any("list of" in n for n in mesh.nodes["coord"].ask("status")["notices"]), "all is well")


main(list_with_an_end_bounds_what_a_coordinator_can_hide)
