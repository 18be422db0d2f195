#!/usr/bin/env python3
# ctest: timeout=90 labels=tsan beside
"""A peer killed without a word and started again has traffic within 2 s of its start, whichever end it is.

    coord
      |
    inet ---- [masquerade] ---- a1  <==ping==>  b1
        `---- [masquerade] ---- b1
"""
import time

from harness import Mesh, Site, check, main, wait_until


def either_end_comes_back():
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 2) is not None, "a1 does not reach b1")
        mesh.wait_path("a1", "b1", "direct", within=2)
        for victim in ("a1", "b1"):
            for source, target in (("a1", "b1"), ("b1", "a1")):
                with mesh.pinger(source, target) as pinger:
                    wait_until(lambda: pinger.answered, 2, f"{source} pings {target}")
                    mesh.nodes[victim].kill()
                    gone = time.monotonic()
                    time.sleep(0.5)
                    check(pinger.first(after=gone + 0.2) is None, f"{victim} is dead, yet pings are answered")
                    mesh.start(victim, wait=False)
                    begin = mesh.nodes[victim].started
                    wait_until(lambda: pinger.first(after=begin), 2, f"{source} to {target}: traffic after {victim} started", begin)
                mesh.wait_path("a1", "b1", "direct", within=5)


main(either_end_comes_back)
