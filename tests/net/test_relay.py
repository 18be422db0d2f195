#!/usr/bin/env python3
# ctest: timeout=120 labels=tsan
"""The coordinator's UDP workers: a member may come to any of them, and the limits hold over all together.

    coord  2 workers, each with a socket on port 27700
      |
    inet   [passes only what goes to coord or comes from it]
      |---- [NAT that changes ports] ---- a1  ==relay==>  b1
      |---- b1
      `---- c1
"""
import socket
import threading
import time

from harness import Mesh, Site, check, main, netns, wait_until

SITES = ("portnp", "open", "open")
NO_LIMIT = 'rate_per_peer = "10Gbit"  rate_total = "10Gbit"  packets_per_peer = 10000000'
WARNING = "more sockets cannot share a port"
REBINDS = 12
LOST = ("drop_short", "drop_type", "drop_unknown_index", "drop_auth", "drop_replay", "drop_send_error", "relay_no_receiver",
        "relay_over_rate", "relay_over_share")


def mesh_of(relay=NO_LIMIT, settings="workers = 2", env=()):
    return Mesh([Site(name, kind) for name, kind in zip("abc", SITES)], relay=relay, settings=settings, env=env)


def start(mesh, env=()):
    mesh.relay_only()
    mesh.configure_peer("a1", "listen { port = 40000 }")  # outside the range that a's NAT keeps
    mesh.start("coord", env=env)
    mesh.start("a1", "b1", "c1")
    mesh.wait_registered("a1", "b1", "c1")


def by_worker(mesh):
    return mesh.nodes["coord"].ask("status")["relay"]["forwarded_by_worker"]


def a_member_whose_port_changes_loses_nothing():
    """Each rebinding of a's NAT gives a1 another source port, and the kernel takes that to either worker: the one that forwards
    most is a1's, since b1 only acknowledges."""
    with mesh_of() as mesh:
        start(mesh)
        check(mesh.ping("a1", "b1", 3) is not None, "a1 does not reach b1")
        mesh.wait_path("a1", "b1", "relay", within=2)
        with mesh.transfer("a1", "b1", mbit=10) as transfer, mesh.pinger("b1", "a1") as pinger:
            met, every = set(), set(range(len(by_worker(mesh))))  # one where sockets cannot share a port
            for _ in range(REBINDS):
                mesh.lab.rebind("a")
                begin = time.monotonic()
                wait_until(lambda: pinger.first(after=begin), 5, "a ping is answered after the port has changed")
                before, got = by_worker(mesh), transfer.got
                wait_until(lambda: transfer.got > got + 300_000 or transfer.error, 10, "the transfer goes on")
                forwarded = [after - n for after, n in zip(by_worker(mesh), before)]
                met.add(forwarded.index(max(forwarded)))
                if met == every:
                    break
            check(met == every, f"{REBINDS} ports all came to worker {met}; they have forwarded {by_worker(mesh)}")
            transfer.finish()
        counters = mesh.counters("coord")
        lost = {name: counters[name] for name in LOST if counters[name]}
        check(not lost, f"the coordinator dropped {lost}")
        handled = sum(by_worker(mesh)) + counters["binds_answered"] + counters["relay_bad_source"]
        check(counters["relay_bad_source"] < counters["rx_datagrams"] / 4, f"{counters['relay_bad_source']} from unbound ports")
        check(abs(counters["rx_datagrams"] - handled) <= counters["rx_datagrams"] / 20,
              f"of {counters['rx_datagrams']} datagrams {handled} are accounted for")


def one_socket_where_the_port_cannot_be_shared():
    with mesh_of() as mesh:
        start(mesh, env={"WARREN_DISABLE": "reuseport"}.items())
        check(mesh.ping("a1", "b1", 3) is not None, "a1 does not reach b1")
        check(mesh.ping("b1", "c1", 3) is not None, "b1 does not reach c1")
        for source, target in (("a1", "b1"), ("b1", "c1")):
            with mesh.transfer(source, target, mbit=0) as transfer:
                wait_until(lambda: transfer.got > 5_000_000 or transfer.error, 20, "5 MB arrive")
                transfer.finish()
        status = mesh.nodes["coord"].ask("status")
        check(status["workers"] == 1 and len(by_worker(mesh)) == 1, f"{status['workers']} workers")
        check(status["offload"]["reuseport"] is False, f"offload is {status['offload']}")
        check(len([n for n in status["notices"] if "workers" in n]) == 1, f"notices: {status['notices']}")
        warnings = [line for line in mesh.nodes["coord"].log().splitlines() if WARNING in line]
        check(len(warnings) == 1, f"{len(warnings)} warnings: {warnings}")
    with mesh_of(settings="workers = 1") as mesh:
        mesh.start("coord")
        status = mesh.nodes["coord"].ask("status")
        check(not status["notices"] and WARNING not in mesh.nodes["coord"].log(), "complains of what was asked for")


class Flood:
    """UDP from host to host through the overlay, at about the rate given."""
    SIZE = 1000

    def __init__(self, mesh, source, target, mbit):
        with netns(mesh.lab.ns(source)):
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.to, self.mbit = (mesh.overlay(target), 9), mbit
        self._ended, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._ended.set()
        self._thread.join()
        self.socket.close()

    def _run(self):
        begin, sent = time.monotonic(), 0
        while not self._ended.is_set():
            self.socket.sendto(bytes(self.SIZE), self.to)
            sent += self.SIZE
            time.sleep(max(0, begin + sent * 8 / (self.mbit * 1e6) - time.monotonic()))


def limits_hold_over_all_workers():
    """Three members send six times what all of them together may; a1's goes to one worker first, and then to another."""
    mbit, seconds = 4, 5
    with mesh_of(f'rate_per_peer = "{mbit}Mbit"  rate_total = "{mbit}Mbit"  packets_per_peer = 100000') as mesh:
        start(mesh)
        for source, target in (("a1", "b1"), ("b1", "c1"), ("c1", "a1")):
            check(mesh.ping(source, target, 3) is not None, f"{source} does not reach {target}")
        with Flood(mesh, "a1", "b1", 8), Flood(mesh, "b1", "c1", 8), Flood(mesh, "c1", "a1", 8):
            time.sleep(1)  # the burst is used up
            begin, before = time.monotonic(), mesh.counters("coord")
            time.sleep(seconds / 2)
            mesh.lab.rebind("a")
            time.sleep(seconds / 2)
            after, seconds = mesh.counters("coord"), time.monotonic() - begin
            workers = by_worker(mesh)
        forwarded = (after["relay_forwarded_bytes"] - before["relay_forwarded_bytes"]) * 8 / seconds / 1e6
        check(after["relay_over_rate"] > before["relay_over_rate"] + 100, "nothing was over the limit")
        # A quarter second's burst may have gathered while a1 had no port.
        check(0.7 * mbit <= forwarded <= 1.1 * mbit, f"{forwarded:.2f} Mbit/s were forwarded, by {workers}, {mbit} are allowed")


main(a_member_whose_port_changes_loses_nothing, one_socket_where_the_port_cannot_be_shared, limits_hold_over_all_workers)
