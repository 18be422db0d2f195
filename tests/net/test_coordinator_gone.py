#!/usr/bin/env python3
# ctest: timeout=120 labels=tsan beside
"""A direct pair does not need the coordinator, not even to agree on new keys; when it is back, so is everyone.

    coord  killed, kept away, started again
      |
    inet ---- [masquerade] ---- a1  ==TCP==>  b1      direct: notices nothing
        |---- [masquerade] ---- b1
        |---- [symmetric] ----- c1  <--ping-- d1      relayed: back within 10 s
        `---- [symmetric] ----- d1
"""
import time

from harness import Mesh, Site, check, main, wait_until

REKEY_MS = 4000  # read by builds for testing; 120 s otherwise
NOTICED_SECONDS = 1.0  # longer than this without a byte, and somebody would call it a pause


def direct_pair_outlives_the_coordinator():
    sites = [Site("a", "port"), Site("b", "port"), Site("c", "symrand"), Site("d", "symrand")]
    with Mesh(sites, env={"WARREN_TEST_REKEY_MS": str(REKEY_MS)}) as mesh:
        everyone = mesh.lab.hosts()
        mesh.start("coord", *everyone)
        mesh.wait_registered(*everyone)
        check(mesh.ping("a1", "b1", 2) is not None, "a1 does not reach b1")
        check(mesh.ping("d1", "c1", 2) is not None, "d1 does not reach c1")
        mesh.wait_path("a1", "b1", "direct", within=2)
        with mesh.transfer("a1", "b1", mbit=20) as transfer, mesh.pinger("d1", "c1") as relayed:
            time.sleep(0.5)
            killed = time.monotonic()
            mesh.nodes["coord"].kill()

            def handshakes():
                return sum(mesh.counter(h, "handshakes_completed") for h in ("a1", "b1"))
            before = handshakes()
            wait_until(lambda: handshakes() > before, 4 * REKEY_MS / 1000, "the pair agrees on new keys by itself")
            time.sleep(2)
            check(relayed.first(after=killed + 1) is None, "the relayed pair talks without its relay")
            stall = transfer.longest_stall(since=killed)
            check(stall < NOTICED_SECONDS, f"the transfer stalled for {stall:.2f} s while the coordinator was away")
            check(mesh.kind("a1", "b1") == "direct", f"a1 to b1: {mesh.path('a1', 'b1')}")

            back = time.monotonic()
            mesh.start("coord")
            wait_until(lambda: mesh.counter("coord", "registrations") >= len(everyone), 10, "everyone is registered again", back)
            wait_until(lambda: relayed.first(after=back), 10, "the relayed pair talks again", back)
            stall = transfer.longest_stall(since=killed)
            check(stall < NOTICED_SECONDS, f"the transfer stalled for {stall:.2f} s when the coordinator came back")
            transfer.finish()


main(direct_pair_outlives_the_coordinator)
