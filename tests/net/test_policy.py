#!/usr/bin/env python3
# ctest: timeout=60 beside
"""`path = relay` and `path = direct` of a peer's block hold, are said to the other side, and change under traffic by a reload.

    coord
      |
    inet ---- [port-restricted] ---- a1    peer "b1" { path = ... }
        `---- [port-restricted] ---- b1
"""
import time

from harness import Mesh, Site, check, main, wait_until


def relay_only_then_direct_only():
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        mesh.configure_peer("a1", extra='peer "b1" { path = relay }')
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        with mesh.pinger("a1", "b1", interval=0.05) as pinger:
            wait_until(lambda: pinger.answered, 1, "a ping is answered")
            end = time.monotonic() + 4
            while time.monotonic() < end:
                check(mesh.kind("a1", "b1") == "relay" and mesh.kind("b1", "a1") == "relay", "the path is not relayed")
                time.sleep(0.1)
            for host, other in (("a1", "b1"), ("b1", "a1")):
                said = mesh.nodes[host].ask("why", peer=other)
                check(said["cause"] == "policy-relay-only", f"{host}: the cause is said to be {said['cause']}")

            mesh.configure_peer("a1", extra='peer "b1" { path = direct }')
            said = mesh.ctl("a1", "reload")
            check(said.returncode == 0 and "peer" in said.stdout, f"reload says: {said.stdout}{said.stderr}")
            mesh.wait_path("a1", "b1", "direct", within=5)
            time.sleep(1)
            forwarded = mesh.counter("coord", "relay_forwarded_bytes")
            time.sleep(2)
            check(mesh.counter("coord", "relay_forwarded_bytes") - forwarded < 1500, "data goes through the relay still")
            check(pinger.answered[-1] > time.monotonic() - 0.5, "no pings are answered any more")


main(relay_only_then_direct_only)
