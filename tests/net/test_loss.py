#!/usr/bin/env python3
# ctest: timeout=60
"""Lost probes delay a direct path, but do not prevent it: the first three each way within 2 s, 5 % of everything within 4 s.

    coord
      |
    inet ---- [masquerade] ---- a1        inet drops the first three datagrams between the two NATs, each way,
        `---- [masquerade] ---- b1        or one of twenty of whatever passes either up-link
"""
import re
import time

from harness import Mesh, Site, check, main, nft, sh

FIRST_THREE = """
table ip probes {{
  chain through {{
    type filter hook forward priority -20; policy accept;
    ip saddr {a} ip daddr {b} meta l4proto udp numgen inc mod 1000000000 < 3 counter drop
    ip saddr {b} ip daddr {a} meta l4proto udp numgen inc mod 1000000000 < 3 counter drop
  }}
}}
"""


def first_three_probes_lost():
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        inet = mesh.lab.ns("inet")
        nft(inet, FIRST_THREE.format(a=mesh.lab.pub["a"], b=mesh.lab.pub["b"]))
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        begin = time.monotonic()
        check(mesh.ping("a1", "b1", 1) is not None, "no ping answered within 1 s")
        mesh.wait_path("a1", "b1", "direct", within=2, since=begin)
        rules = sh("ip", "netns", "exec", inet, "nft", "list", "table", "ip", "probes")
        dropped = [int(n) for n in re.findall(r"counter packets (\d+)", rules)]
        check(dropped == [3, 3], f"not three were dropped each way, but {dropped}")


def five_percent_lost():
    with Mesh([Site("a", "port", loss=5), Site("b", "port", loss=5)]) as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        begin = time.monotonic()
        with mesh.pinger("a1", "b1") as pinger:
            mesh.wait_path("a1", "b1", "direct", within=4, since=begin)
            time.sleep(4)
            lost = 1 - len(pinger.answered) / len(pinger.sent)
            check(0 < lost < 0.6, f"{lost:.0%} of the pings were lost")
            check(mesh.kind("a1", "b1") == "direct", f"left the direct path: {mesh.path('a1', 'b1')}")


main(first_three_probes_lost, five_percent_lost)
