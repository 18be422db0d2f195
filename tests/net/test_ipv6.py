#!/usr/bin/env python3
# ctest: timeout=90
"""IPv6 inside over IPv4 outside, IPv4 inside over IPv6 outside, and both over an underlay that has only IPv6.

    coord  198.51.100.10, 2001:db8:ffff::10
      |
    inet ---- [masquerade; IPv6 firewall] ---- a1  10.77.0.2  fd77::2
        `---- [masquerade; IPv6 firewall] ---- b1  10.77.0.3  fd77::3
"""
import time

from harness import Mesh, Site, check, main


def both_families_inside(sites, underlay, outside):
    with Mesh(sites, underlay=underlay) as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        begin = time.monotonic()
        check(mesh.ping("a1", "b1", 1, six=outside == "4") is not None, "no ping answered within 1 s")
        mesh.wait_path("a1", "b1", "direct", within=2, since=begin)
        remote = mesh.path("a1", "b1")["remote"]
        check(remote.startswith("[") == (outside == "6"), f"the path runs to {remote}")
        for six in (False, True):
            check(mesh.ping("b1", "a1", 1, six=six) is not None, f"IPv{6 if six else 4} inside does not pass")
            with mesh.transfer("a1", "b1", six=six) as transfer:
                time.sleep(1)
                transfer.finish()


def over_ipv4():
    both_families_inside([Site("a", "port"), Site("b", "port")], "4", "4")


def over_ipv6_beside_ipv4():
    both_families_inside([Site("a", "symrand", v6="fw"), Site("b", "symrand", v6="fw")], "4", "6")


def over_ipv6_alone():
    both_families_inside([Site("a", "port", v6only=True), Site("b", "port", v6only=True)], "6", "6")


main(over_ipv4, over_ipv6_beside_ipv4, over_ipv6_alone)
