#!/usr/bin/env python3
# ctest: timeout=120 beside
"""After an idle time of several lives of the NATs' mappings, the far side's first ping is answered within 1 s.

    coord
      |
    inet ---- [masquerade, UDP mappings live 20 s] ---- a1
        `---- [masquerade, UDP mappings live 20 s] ---- b1

Five minutes are fifteen such lives; three and a bit show the same for what is kept open. What ends meanwhile, the session and
the contact (3 minutes), and a mapping that nothing kept open, are seen with all times divided by thirty.
"""
import time

from harness import Mesh, Site, check, main

LIFE = 20


def first_ping_after_idling():
    sites = [Site(name, "port", udp_timeout=LIFE, udp_stream=LIFE) for name in "ab"]
    with Mesh(sites) as mesh:
        lab = mesh.lab
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 1) is not None, "no ping answered at the start")
        mesh.wait_path("a1", "b1", "direct", within=2)
        with lab.udp("a1") as silent, lab.udp("coord", 3478) as outside:
            # A mapping that nobody keeps open, made at the same time, to see that this NAT does forget.
            silent.sendto(b"open", (lab.ip("coord"), 3478))
            time.sleep(0.2)
            mapped = outside.recvfrom(100)[1]
            outside.sendto(b"early", mapped)
            time.sleep(0.2)
            check(silent.recv(100) == b"early", "the mapping did not even open")
            time.sleep(3 * LIFE + 5)
            outside.sendto(b"late", mapped)
            time.sleep(0.2)
            try:
                check(silent.recv(100) != b"late", "the NAT has not forgotten: nothing is tested")
            except BlockingIOError:
                pass
        took = mesh.ping("b1", "a1", 1)
        check(took is not None, f"no ping answered within 1 s, after {3 * LIFE + 5} s of silence")


def first_ping_after_everything_ended():
    sites = [Site(name, "port", udp_timeout=1, udp_stream=1) for name in "ab"]
    with Mesh(sites, env={"WARREN_TEST_REKEY_MS": "4000"}) as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 1) is not None, "no ping answered at the start")
        time.sleep(10)
        check(mesh.kind("b1", "a1") is None, f"b1 still has a path to a1: {mesh.path('b1', 'a1')}")
        check(mesh.ping("b1", "a1", 1) is not None, "no ping answered within 1 s, after session and mappings ended")


main(first_ping_after_idling, first_ping_after_everything_ended)
