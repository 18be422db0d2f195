#!/usr/bin/env python3
# ctest: timeout=180 beside
"""Twelve peers, each talking with each, are all direct; the coordinator's work grows with the pairs that talk.

    coord  <- its bytes are counted
      |
    inet ---- [masquerade] ---- a1 ... l1      66 pairs
"""
import contextlib
import itertools
import time

from harness import Mesh, Site, check, main, wait_until


def all_pairs_direct():
    names = "abcdefghijkl"
    with Mesh([Site(n, "port") for n in names]) as mesh:
        hosts = mesh.lab.hosts()
        mesh.start("coord")
        mesh.start(*hosts)
        mesh.wait_registered(*hosts, within=20)

        def talk(pairs):
            """Bytes of the coordinator while the pairs find each other, less what as long a time costs without that."""
            time.sleep(2)
            begin, quiet = time.monotonic(), mesh.link_bytes("coord")
            time.sleep(5)
            rate = (mesh.link_bytes("coord") - quiet) / (time.monotonic() - begin)
            begin, start = time.monotonic(), mesh.link_bytes("coord")
            with contextlib.ExitStack() as stack:
                pingers = {p: stack.enter_context(mesh.pinger(*p, interval=0.5)) for p in pairs}
                for (a, b), pinger in pingers.items():
                    wait_until(lambda: pinger.answered, 20, f"{a} reaches {b}", begin)
                wait_until(lambda: all(mesh.kind(a, b) == "direct" == mesh.kind(b, a) for a, b in pairs), 20, "all direct", begin)
            return mesh.link_bytes("coord") - start - rate * (time.monotonic() - begin)

        pairs = list(itertools.combinations(hosts, 2))
        few = [(a, b) for a, b in zip(hosts[::2], hosts[1::2])]
        rest = [p for p in pairs if p not in few]
        cost_few = talk(few)
        relayed = mesh.counter("coord", "relay_forwarded_bytes")
        check(not any(mesh.kind(a, b) for a, b in rest), "pairs that never talked have paths")
        cost_rest = talk(rest)
        print(f"  the coordinator: {cost_few / len(few):.0f} bytes a pair for {len(few)} pairs, "
              f"{cost_rest / len(rest):.0f} for {len(rest)}; relayed at first {relayed} bytes")
        check(cost_few > 0, "pairs found each other without the coordinator")
        check(cost_few < cost_rest / 3, "a few pairs cost as much as all of them")
        check(cost_rest / len(rest) < 3 * cost_few / len(few), "a pair costs more, the more pairs there are")


main(all_pairs_direct)
