#!/usr/bin/env python3
# ctest: timeout=240 labels=release
"""Over links of 1500 to 600 bytes 100 MB arrive as they were sent, also when the link changes under way; links.py has the drawing."""
import contextlib
import time

from harness import main, wait_until
from links import PAIRS, flow_again, network, path_mtu, pings, set_links

TOTAL = 100_000_000


def transfers(mesh):
    """100 MB each way over each pair, all at once."""
    with contextlib.ExitStack() as stack:
        running = []
        for i, (target, kind) in enumerate(PAIRS):
            for source, sink, six in (("a1", target, False), (target, "a1", True)):
                t = stack.enter_context(mesh.transfer(source, sink, six=six, mbit=0, total=TOTAL, port=5201 + i))
                running.append((f"{source} to {sink}, {kind}, IPv{6 if six else 4} inside", t))
        begin = time.monotonic()
        for what, t in running:
            try:
                t.complete(max(1, begin + 60 - time.monotonic()))
            except AssertionError as e:
                raise AssertionError(f"{what}: {e}") from None
            print(f"    {what}: {8e-6 * t.got / (t.arrivals[-1] - begin):.0f} Mbit/s", flush=True)


def of_each_size(underlay, sizes):
    with network(underlay) as mesh:
        for mtu in sizes:
            set_links(mesh, mtu)
            print(f"  {mtu} bytes", flush=True)
            transfers(mesh)
            pings(mesh)


def links_of_each_size():
    of_each_size("4", (1500, 1420, 1280, 1100, 600))


def links_of_each_size_of_ipv6():
    of_each_size("6", (1500, 1420, 1280))  # it asks 1280 of every link


def links_that_change_under_way():
    """One of 100 MB meets them all, and between them the paths get as large again as they were."""
    with network() as mesh, contextlib.ExitStack() as stack:
        running = [stack.enter_context(mesh.transfer("a1", target, mbit=40, total=TOTAL)) for target, _ in PAIRS]
        flow_again(running, "1500 bytes")
        at_first = wait_until(lambda: all(mtus := [path_mtu(mesh, target) or 0 for target, _ in PAIRS]) and mtus, 5, "MTUs are known")
        for mtu in 1420, 1280, 1100:
            set_links(mesh, mtu)
            flow_again(running, f"{mtu} bytes")
        set_links(mesh, 600, ("b", "coord"))  # the coordinator's serves both halves of a relayed path
        flow_again(running, "600 bytes")
        set_links(mesh, 1500, ("b", "c", "coord"))
        flow_again(running, "1500 bytes again")
        begin = time.monotonic()
        wait_until(lambda: all(path_mtu(mesh, target) >= mtu for (target, _), mtu in zip(PAIRS, at_first)), 20,
                   f"the MTUs are {at_first} again")
        print(f"  MTUs of {at_first} again: {time.monotonic() - begin:.1f} s", flush=True)
        set_links(mesh, 600)
        flow_again(running, "600 bytes at once")
        for t in running:
            t.complete(30)


main(links_of_each_size, links_of_each_size_of_ipv6, links_that_change_under_way)
