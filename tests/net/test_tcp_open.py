#!/usr/bin/env python3
# ctest: timeout=120 beside
"""Where UDP is blocked and both ends are behind NATs, they open one TCP connection from both sides at the same moment.

    coord  tcp 27700 443
      |
    inet ---- [only TCP and ICMP get out, 20 ms] ---- a1
        `---- [NATs and firewalls, 5 ms] ------------ b1

A SYN that arrives unasked is dropped by each of these boxes."""
import time

from harness import Mesh, Site, check, main, wait_until


def opened(kind, within=5):
    with Mesh([Site("a", "udpblocked", delay=20), Site("b", kind, delay=5)]) as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        begin = time.monotonic()
        check(mesh.ping("a1", "b1", 5) is not None, "no ping answered within 5 s")
        mesh.wait_path("a1", "b1", "tcp", within=within, since=begin)
        forwarded = mesh.counter("coord", "relay_forwarded_datagrams")
        with mesh.pinger("a1", "b1") as pinger:
            wait_until(lambda: len(pinger.answered) >= 20, 3, "pings over the connection are answered")
        check(mesh.counter("coord", "relay_forwarded_datagrams") - forwarded < 10, "the pings were relayed")


def udp_blocked_on_both_sides():
    opened("udpblocked")


def with_a_port_restricted_nat():
    opened("port")


def with_a_nat_that_gives_other_ports():
    opened("portnp")


def with_a_full_cone():
    opened("fullcone")


def with_a_firewall_alone():
    opened("openfw")


def after_the_nat_forgot_everything():
    """The connection breaks, the coordinator is lost for a moment, and all of it comes back."""
    with Mesh([Site("a", "udpblocked"), Site("b", "udpblocked")]) as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        with mesh.pinger("a1", "b1") as pinger:
            mesh.wait_path("a1", "b1", "tcp", within=5)
            since = time.monotonic()
            mesh.lab.rebind("a", addr="203.0.113.99")
            wait_until(lambda: (mesh.path("b1", "a1").get("remote") or "").startswith("203.0.113.99"), 60, "b1 has the new way")
            check(pinger.first(after=since + 0.2), "nothing passes any more")
            mesh.wait_path("a1", "b1", "tcp", within=5)


main(udp_blocked_on_both_sides, with_a_port_restricted_nat, with_a_nat_that_gives_other_ports, with_a_full_cone, with_a_firewall_alone,
     after_the_nat_forgot_everything)
