#!/usr/bin/env python3
# ctest: timeout=90
"""When the way to a peer changes under a running transfer, traffic passes again within 3 s and TCP inside survives.

    coord
      |
    inet ---- [NAT that changes ports] ---- a1  ==TCP==>  b1      forgets its mappings; or a1 moves to c's LAN
        |---- [masquerade] ---------------- b1
        `---- [masquerade] ---------------- (a1)
"""
import time

from harness import Mesh, Site, check, main, wait_until

WITHIN = 3


def survives(event):
    with Mesh([Site("a", "portnp"), Site("b", "port"), Site("c", "port")]) as mesh:
        mesh.configure_peer("a1", "listen { port = 40000 }")  # outside the range that a's NAT keeps
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 2) is not None, "a1 does not reach b1")
        mesh.wait_path("a1", "b1", "direct", within=2)
        for source, target in (("a1", "b1"), ("b1", "a1")):
            with mesh.transfer(source, target, mbit=20) as transfer, mesh.pinger(target, source) as pinger:
                time.sleep(1)
                seen = mesh.path("b1", "a1")["remote"]
                begin = time.monotonic()
                event(mesh)
                time.sleep(WITHIN + 1)
                gap = pinger.longest_gap(begin)
                check(gap <= WITHIN, f"{source} to {target}: {gap:.1f} s without an answer")
                arrived = transfer.got
                wait_until(lambda: transfer.got > arrived, 5, "bytes of the transfer arrive again")
                transfer.finish()
            mesh.wait_path("a1", "b1", "direct", within=5)
            check(mesh.path("b1", "a1")["remote"] != seen, f"b1 still sees a1 at {seen}: nothing had changed")


def nat_forgets_and_gives_other_ports():
    survives(lambda mesh: mesh.lab.rebind("a"))


def interface_moves_to_another_lan():
    survives(lambda mesh: mesh.lab.roam("a1", "c" if mesh.lab.site_of("a1") == "a" else "a"))


main(nat_forgets_and_gives_other_ports, interface_moves_to_another_lan)
