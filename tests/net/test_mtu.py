#!/usr/bin/env python3
# ctest: timeout=200
"""No path hangs for its MTU: with every ICMP "too big" and every outer fragment dropped, data flows again within 10 s.

    coord
      |
    inet ---- [open, or symmetric] ---- a1
        `---- [the same] -------------- b1     its link: 1500, 1420, 1280, 1100, 600 bytes, changed under way
"""
import subprocess
import time

from harness import Mesh, Site, check, main, wait_until

WITHIN = 10


def ping(mesh, size, fragment):
    argv = ["ping", "-c1", "-W1", "-M", fragment, "-s", str(size), mesh.overlay("b1")]
    return mesh.lab.run("a1", argv, capture_output=True, text=True)


def flows_again(mesh, transfer, mtu):
    arrived, begin = transfer.got, time.monotonic()
    wait_until(lambda: transfer.got > arrived + 400_000 or transfer.error, WITHIN, f"at {mtu} bytes data flows again")
    check(not transfer.error, f"at {mtu} bytes: {transfer.error}")
    return time.monotonic() - begin


def lowered_and_raised(kind):
    with Mesh([Site("a", kind), Site("b", kind)]) as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 2) is not None, "a1 does not reach b1")
        want = "direct" if kind == "open" else "relay"
        mesh.wait_path("a1", "b1", want, within=4)
        link = "b1" if kind == "open" else "b"
        for source, target in (("a1", "b1"), ("b1", "a1")):
            with mesh.transfer(source, target, mbit=12) as transfer:
                flows_again(mesh, transfer, 1500)
                for mtu in (1420, 1280, 1100, 600, 1500):
                    mesh.lab.set(link, mtu=mtu, blackhole=True, nofrag=True)
                    print(f"  {source} to {target}, {want}, {mtu} bytes: {flows_again(mesh, transfer, mtu):.1f} s", flush=True)
                transfer.finish()


def direct_path():
    lowered_and_raised("open")


def relayed_path():
    lowered_and_raised("symrand")


def a_small_path_says_what_fits():
    with Mesh([Site("a", "open"), Site("b", "open")]) as mesh:
        mesh.lab.set("b1", mtu=1380, blackhole=True, nofrag=True)
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 2) is not None, "a1 does not reach b1")

        def refused():
            r = ping(mesh, 1390, "do")
            return r.returncode != 0 and ("too long" in r.stdout + r.stderr or "Frag needed" in r.stdout + r.stderr)
        with mesh.transfer("a1", "b1", mbit=5):  # the search runs while there is data
            wait_until(refused, 10, "a packet too long for the path is answered with what fits")
            for size in (1000, 1240, 1400, 4000):
                check(ping(mesh, size, "dont").returncode == 0, f"ping -s {size} -M dont is not answered")
            check(ping(mesh, 1200, "do").returncode == 0, "what fits is not answered")


main(direct_path, relayed_path, a_small_path_says_what_fits)
