#!/usr/bin/env python3
# ctest: timeout=120
"""Pairs of which one side, or none, filters by port become direct within 2 s; two hosts of one LAN use its addresses.

    coord
      |
    inet ---- [NAT or none] ---- a1 (a2)
        `---- [NAT or none] ---- b1
"""
import time

from harness import Mesh, Site, check, main


def direct(kind_a, kind_b):
    with Mesh([Site("a", kind_a), Site("b", kind_b)]) as mesh:
        mesh.start("coord", "a1")
        mesh.wait_registered("a1")
        check(mesh.ping("a1", "b1", 0.3) is None, "an answer from a peer that does not run")
        mesh.start("b1")
        mesh.wait_registered("a1", "b1")
        begin = time.monotonic()
        check(mesh.ping("a1", "b1", 1) is not None, "no ping answered within 1 s")
        mesh.wait_path("a1", "b1", "direct", within=2, since=begin)
        check(mesh.path("a1", "b1")["transport"] == "udp", f"not over UDP: {mesh.path('a1', 'b1')}")


def port_restricted_and_full_cone():
    direct("port", "fullcone")


def full_cone_and_port_restricted():
    direct("fullcone", "port")


def port_restricted_and_public():
    direct("port", "open")


def public_and_public():
    direct("open", "open")


def two_hosts_on_one_lan():
    with Mesh([Site("a", "port", hosts=2)]) as mesh:
        mesh.start("coord", "a1")
        mesh.wait_registered("a1")
        check(mesh.ping("a1", "a2", 0.3) is None, "an answer from a peer that does not run")
        mesh.start("a2")
        mesh.wait_registered("a1", "a2")
        begin = time.monotonic()
        check(mesh.ping("a1", "a2", 1) is not None, "no ping answered within 1 s")
        mesh.wait_path("a1", "a2", "lan", within=2, since=begin)
        for host, other in (("a1", "a2"), ("a2", "a1")):
            remote = mesh.path(host, other)["remote"]
            check(remote.startswith(mesh.lab.ip(other) + ":"), f"{host}: the path runs to {remote}")


main(port_restricted_and_full_cone, full_cone_and_port_restricted, port_restricted_and_public, public_and_public,
     two_hosts_on_one_lan)
