#!/usr/bin/env python3
# ctest: timeout=60 beside
"""Whoever sends to an overlay address that nobody has, or whose node is offline, is told so by ICMP within a second.
And names of servers that no name server resolves do not hold up what needs no name.

    coord
      |
    inet ---- a1          b1 is a member, and not running
"""
from harness import Mesh, Site, check, main


def told(mesh, address):
    r = mesh.lab.run("a1", ["ping", "-c1", "-W2", address], capture_output=True, text=True)
    return r.returncode != 0 and "nreachable" in r.stdout


def senders_are_told():
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        mesh.start("coord", "a1")
        mesh.wait_registered("a1")
        for address in ("10.77.9.9", "fd77::909"):
            check(told(mesh, address), f"nothing is said of {address}, which nobody has")
        for six in (False, True):
            check(told(mesh, mesh.overlay("b1", six)), f"nothing is said of b1, which is offline, IPv6: {six}")
        check(mesh.counter("a1", "drop_no_peer") >= 4, f"drop_no_peer is {mesh.counter('a1', 'drop_no_peer')}")
        mesh.start("b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 1) is not None, "b1 is not reached once it runs")


def names_that_nobody_resolves_hold_up_nothing():
    """As many as libuv looks up at once, and more; the C library tries each for 5 s and longer."""
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        mesh.configure_peer("a1", 'stun = { "stun.example", "stun.example.net" }\n'
                                  'listen { public_endpoint = { "a.example:1", "b.example:1", "c.example:1" } }')
        mesh.start("coord", "b1")
        mesh.wait_registered("b1")
        mesh.start("a1")
        mesh.wait_registered("a1", "b1", within=2)
        check(mesh.ping("a1", "b1", 2) is not None, "a1 does not reach b1")


main(senders_are_told, names_that_nobody_resolves_hold_up_nothing)
