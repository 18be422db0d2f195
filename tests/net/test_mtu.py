#!/usr/bin/env python3
# ctest: timeout=120
"""No path hangs for its MTU: data flows again within 10 s of a change, and what is too big is told so; links.py has the drawing."""
import contextlib

from harness import Mesh, Site, check, main
from links import PAIRS, answered, flow_again, network, pings, set_links

EVERY = "reuseport,multiqueue,gso,gro,vnet,ipsec-mb"


def changes_under_way(**kw):
    with network(**kw) as mesh, contextlib.ExitStack() as stack:
        there = [stack.enter_context(mesh.transfer("a1", target, mbit=10)) for target, _ in PAIRS]
        back = [stack.enter_context(mesh.transfer(target, "a1", six=True, mbit=10, port=5301 + i)) for i, (target, _) in enumerate(PAIRS)]
        running = there + back
        flow_again(running, "1500 bytes", 400_000)
        for mtu in 1420, 1280, 1100, 600, 1500:
            set_links(mesh, mtu)
            flow_again(running, f"{mtu} bytes", 400_000)
        for t in running:
            t.finish()


def links_that_change_under_way():
    changes_under_way()


def the_same_without_offloads():
    """No trains: packets that the tunnel cannot cut smaller."""
    changes_under_way(env={"WARREN_DISABLE": EVERY}.items())


def a_small_path_says_what_fits():
    with network() as mesh:
        set_links(mesh, 1380)
        with contextlib.ExitStack() as stack:
            for target, _ in PAIRS:
                stack.enter_context(mesh.transfer("a1", target, mbit=2))  # the search runs while there is data
            pings(mesh)


def a_small_link_where_udp_is_blocked():
    """What a datagram is inside a TCP connection is cut by that, and the connection must not hang either."""
    with Mesh([Site("a", "port"), Site("b", "udpblocked")]) as mesh:
        mesh.lab.mute("warren0")
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 5) is not None, "a1 does not reach b1")
        with mesh.transfer("a1", "b1", mbit=5) as there, mesh.transfer("b1", "a1", six=True, mbit=5, port=5301) as back:
            check(mesh.path("b1", "a1")["transport"] == "tcp", f"not by TCP: {mesh.path('b1', 'a1')}")
            for mtu in 1500, 600, 1280:
                set_links(mesh, mtu, ["b"])
                flow_again([there, back], f"{mtu} bytes, by TCP", 400_000)
            for size in 1400, 4000:
                answered(mesh, "b1", size, "dont")
            there.finish()
            back.finish()


main(a_small_link_where_udp_is_blocked, links_that_change_under_way, the_same_without_offloads, a_small_path_says_what_fits)
