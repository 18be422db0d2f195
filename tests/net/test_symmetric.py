#!/usr/bin/env python3
# ctest: timeout=60 beside
"""Where both NATs change ports, the pair is relayed, `why` names the cause, and the relay sees only what is sealed.

    coord  <- every frame captured here
      |
    inet ---- [masquerade fully-random] ---- a1
        `---- [masquerade fully-random] ---- b1
"""
import time

from harness import Capture, Mesh, Site, check, main, wait_until

MARKER = b"a marker that nobody but a1 and b1 may read"


def relayed_explained_and_sealed():
    with Mesh([Site("a", "symrand"), Site("b", "symrand")]) as mesh:
        lab = mesh.lab
        mesh.start("coord", "a1")
        mesh.wait_registered("a1")
        check(mesh.ping("a1", "b1", 0.3) is None, "an answer from a peer that does not run")
        mesh.start("b1")
        mesh.wait_registered("a1", "b1")
        with Capture(lab.ns("coord"), "eth0") as outside, Capture(lab.ns("b1"), "warren0") as inside, \
                mesh.pinger("a1", "b1", payload=MARKER) as pinger:
            wait_until(lambda: pinger.answered, 1, "a ping is answered")
            time.sleep(4)  # longer than probing goes on where it succeeds
            mesh.wait_path("a1", "b1", "relay", within=1)
            check(len(pinger.answered) > 0.9 * len(pinger.sent), f"{len(pinger.answered)} of {len(pinger.sent)} answered")
            check(inside.contains(MARKER), "the marker is not even where it must be: inside the tunnel")
            check(sum(len(p) for _, p in outside.udp()) > 100 * len(MARKER), "nothing was captured at the coordinator")
            check(not outside.contains(MARKER), "the marker passed the coordinator unsealed")
        check(mesh.counter("coord", "relay_forwarded_datagrams") > 0, "nothing was relayed")

        for host, other in (("a1", "b1"), ("b1", "a1")):
            wait_until(lambda: mesh.nodes[host].ask("why", peer=other)["cause"] == "hard-hard-nat", 2,
                       f"{host}: the cause is hard-hard-nat")
        said = mesh.ctl("a1", "why", "b1")
        check("hard-hard-nat" in said.stdout, f"warrenctl why says: {said.stdout}")
        check(said.returncode == 2, f"warrenctl why exits with {said.returncode}: reachable, but not directly, is 2")
        check(mesh.ctl_json("a1", "why", "b1")["cause"] == "hard-hard-nat", "warrenctl why --json")
        check(mesh.peer("a1", "b1")["why"] == "hard-hard-nat", f"peers: {mesh.peer('a1', 'b1')}")


main(relayed_explained_and_sealed)
