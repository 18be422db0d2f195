#!/usr/bin/env python3
# ctest: timeout=120
"""A direct path that loses three datagrams in ten is left for a clean relay, and taken up again when it heals. How soon
is a matter of chance, of which tests/unit/test_path_loss.c makes the statistics: within 2 s, 19 times of 20.

    coord
      |
    inet  <- drops three in ten of what a and b send each other
      |---- [port-restricted] ---- a1
      `---- [port-restricted] ---- b1
"""
import time

from harness import Mesh, Site, check, main, nft, wait_until

LOSSES = """table inet warren_loss {
    chain c { type filter hook forward priority 0;
        ip saddr { %(a)s, %(b)s } ip daddr { %(a)s, %(b)s } numgen random mod 10 < 3 drop
    }
}
"""


def leaves_and_comes_back():
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        inet = mesh.lab.ns("inet")
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        with mesh.pinger("a1", "b1", interval=0.02) as pinger:
            mesh.wait_path("a1", "b1", "direct", within=5)
            time.sleep(2)
            nft(inet, LOSSES % {"a": mesh.lab.pub["a"], "b": mesh.lab.pub["b"]})
            begin = time.monotonic()
            mesh.wait_path("a1", "b1", "relay", within=4, since=begin)
            left = time.monotonic() - begin
            begin, changes, kind = time.monotonic(), 0, "relay"
            while time.monotonic() - begin < 8:
                now = mesh.kind("a1", "b1")
                changes += now != kind
                kind = now
                time.sleep(0.1)
            check(changes == 0, f"{changes} changes in 8 s of steady loss")
            since = begin + 2
            sent = [t for t in pinger.sent if t > since]
            got = [t for t in pinger.answered if t > since]
            check(len(got) > 0.97 * len(sent), f"{len(sent) - len(got)} of {len(sent)} pings lost over the clean relay")
            row = next(p for p in mesh.nodes["a1"].ask("paths", peer="b1")["peers"][0]["paths"] if (p["note"] or "").startswith("left"))
            check(row["loss_ratio"] is None or 0.1 < row["loss_ratio"] < 0.6, f"{row}")
            nft(inet, "delete table inet warren_loss\n")
            begin = time.monotonic()
            mesh.wait_path("a1", "b1", "direct", within=20, since=begin)
            print(f"  left after {left:.1f} s, back {time.monotonic() - begin:.1f} s after it healed")


main(leaves_and_comes_back)
