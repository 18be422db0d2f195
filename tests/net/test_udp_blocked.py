#!/usr/bin/env python3
# ctest: timeout=90 beside
"""Where UDP is dropped and no TCP connection between the two can be, traffic passes within 5 s through TCP to the coordinator.

    coord  tcp 27700, 443
      |
    inet ---- [only TCP and ICMP get out, or only to port 443] ---- a1
        `---- [masquerade fully-random, or port by port] ---------- b1
"""
from harness import Mesh, Site, check, main


def through_tcp(kind_a, kind_b):
    with Mesh([Site("a", kind_a), Site("b", kind_b)]) as mesh:
        mesh.start("coord", "a1")
        mesh.wait_registered("a1")
        check(mesh.ping("a1", "b1", 0.3) is None, "an answer from a peer that does not run")
        mesh.start("b1")  # from its first try to connect on: where SYNs to 27700 vanish, 443 is tried beside it
        took = mesh.ping("a1", "b1", 5)
        check(took is not None, "no ping answered within 5 s")
        path = mesh.path("a1", "b1")
        check(path["kind"] == "relay" and path["transport"] == "tcp", f"the path of the blocked side is {path}")
        with mesh.transfer("b1", "a1", mbit=5) as transfer:
            while transfer.got < 500_000 and not transfer.error:
                check(transfer.longest_stall() < 5, "a transfer through TCP stalled")
            transfer.finish()


def blocked_here_and_hard_there():
    through_tcp("udpblocked", "symrand")


def only_port_443_gets_out():
    through_tcp("tcp443", "port")


def only_port_443_gets_out_of_both():
    through_tcp("tcp443", "tcp443")


main(blocked_here_and_hard_there, only_port_443_gets_out, only_port_443_gets_out_of_both)
