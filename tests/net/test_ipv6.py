#!/usr/bin/env python3
# ctest: timeout=90 beside
"""IPv6 inside over IPv4 outside, IPv4 inside over IPv6 outside, and both over an underlay that has only IPv6.

    coord  198.51.100.10, 2001:db8:ffff::10
      |
    inet ---- [masquerade; IPv6 firewall] ---- a1  10.77.0.2  fd77::2
        `---- [masquerade; IPv6 firewall] ---- b1  10.77.0.3  fd77::3
"""
import time

from harness import Mesh, Site, check, main, sh


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


def where_ipv6_is_off():
    """No IPv6 in the kernels of coordinator and peers: IPv4 works, and the log says so without crying."""
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        for host in "coord", "a1", "b1":
            for which in "all", "default":
                sh("ip", "netns", "exec", mesh.lab.ns(host), "sysctl", "-qw", f"net.ipv6.conf.{which}.disable_ipv6=1")
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 1) is not None, "no ping answered within 1 s")
        mesh.wait_path("a1", "b1", "direct", within=3)
        log = mesh.nodes["a1"].log()
        check("IPv6 is off" in log and " error: " not in log, f"the log does not say what is the matter:\n{log}")
        check(f"info: interface warren0: address {mesh.overlay('a1', six=True)}" not in log, "an address is told that was not set")


main(where_ipv6_is_off, over_ipv4, over_ipv6_beside_ipv4, over_ipv6_alone)
