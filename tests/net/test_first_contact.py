#!/usr/bin/env python3
# ctest: timeout=60 labels=tsan
"""Two peers behind port-restricted NATs talk at once through the relay, soon directly, and then leave the relay alone.

    coord 198.51.100.10
      |
    inet ---- [masquerade 203.0.113.11] ---- a1 192.168.1.2   10.77.0.2
        `---- [masquerade 203.0.113.12] ---- b1 192.168.2.2   10.77.0.3
"""
import time

from harness import Mesh, Site, check, main


def relayed_at_once_then_direct():
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        mesh.start("coord", "a1")
        mesh.wait_registered("a1")
        check(mesh.ping("a1", "b1", 0.5) is None, "an answer from a peer that does not run")
        mesh.start("b1", wait=False)
        mesh.wait_registered("a1", "b1")
        begin = time.monotonic()
        took = mesh.ping("a1", "b1", 1)
        check(took is not None, "no ping answered within 1 s of the second registration")
        relayed = mesh.counter("coord", "relay_forwarded_datagrams")
        check(relayed > 0, "the first ping was answered, but nothing went through the relay")
        mesh.wait_path("a1", "b1", "direct", within=2, since=begin)
        for host, site in (("a1", "b"), ("b1", "a")):
            other = "b1" if host == "a1" else "a1"
            remote = mesh.path(host, other)["remote"]
            check(remote.startswith(mesh.lab.pub[site] + ":"), f"{host}: direct, but to {remote}")

        time.sleep(1)  # what was under way through the relay arrives
        before = mesh.counters("coord")
        with mesh.transfer("a1", "b1", mbit=50) as transfer:
            time.sleep(2)
            transfer.finish()
        after = mesh.counters("coord")
        for name in ("relay_forwarded_datagrams", "relay_forwarded_bytes"):
            check(after[name] == before[name], f"{name} went from {before[name]} to {after[name]} under load")


main(relayed_at_once_then_direct)
