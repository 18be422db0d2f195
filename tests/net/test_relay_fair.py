#!/usr/bin/env python3
# ctest: timeout=60 labels=release
"""A member that floods the relay takes from the others neither their datagrams nor their TCP.

    coord  [sends 200 Mbit/s at most; 80 where WARREN_DISABLE makes every datagram go by itself]
      |
    inet   [passes only what goes to coord or comes from it]
      |---- a1  ==UDP, 600 Mbit/s==>  b1
      |---- c1  ==TCP==>              d1
      `---- e1  ==UDP, 4 Mbit/s==>    f1, and pings
"""
import contextlib
import os
import select
import socket
import subprocess
import threading
import time

from harness import Mesh, Site, check, main, netns, wait_until

# What is offered must be more than the link takes, also by two busy cores.
MBIT, FLOOD_MBIT, SECONDS = 80 if os.environ.get("WARREN_DISABLE") else 200, 600, 8
NO_LIMIT = 'rate_per_peer = "10Gbit"  rate_total = "10Gbit"  packets_per_peer = 10000000'


class Stream:
    """Numbered datagrams at a steady rate; those that arrive are counted."""
    SIZE, PORT = 1000, 9000

    def __init__(self, mesh, source, target, mbit):
        self.to, self.mbit, self.sent, self.arrived = (mesh.overlay(target), self.PORT), mbit, 0, set()
        with netns(mesh.lab.ns(target)):
            self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.bind(self.to)
        with netns(mesh.lab.ns(source)):
            self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=f, daemon=True) for f in (self._send, self._receive)]

    def __enter__(self):
        for t in self._threads:
            t.start()
        return self

    def stop_sending(self):
        self._ended.set()
        self._threads[0].join()

    def __exit__(self, *exc):
        self._ended.set()
        for t in self._threads:
            t.join()
        self.sender.close()
        self.receiver.close()

    def _send(self):
        begin = time.monotonic()
        while not self._ended.is_set():
            self.sender.sendto(self.sent.to_bytes(4, "big") + bytes(self.SIZE - 4), self.to)
            self.sent += 1
            time.sleep(max(0, begin + self.sent * self.SIZE * 8 / (self.mbit * 1e6) - time.monotonic()))

    def _receive(self):
        while not self._ended.is_set() or select.select([self.receiver], [], [], 0)[0]:
            if select.select([self.receiver], [], [], 0.05)[0]:
                self.arrived.add(self.receiver.recv(2048)[:4])


@contextlib.contextmanager
def flood(mesh, source, target):
    server = mesh.lab.popen(target, ["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
    client = None
    try:
        time.sleep(0.3)
        client = mesh.lab.popen(source, ["iperf3", "-u", "-b", f"{FLOOD_MBIT}M", "-l", "1300", "-t", "60", "-c",
                                         mesh.overlay(target)], stdout=subprocess.DEVNULL)
        yield
    finally:
        for p in filter(None, (client, server)):
            p.kill()
            p.wait()


def others_keep_their_share():
    with Mesh([Site(name, "open") for name in "abcdef"], relay=NO_LIMIT) as mesh:
        mesh.relay_only()
        hosts = [f"{name}1" for name in "abcdef"]
        mesh.start("coord", *hosts)
        mesh.wait_registered(*hosts)
        for source, target in (("a1", "b1"), ("c1", "d1"), ("e1", "f1")):
            check(mesh.ping(source, target, 3) is not None, f"{source} does not reach {target}")
            mesh.wait_path(source, target, "relay", within=2)
        # More room than the socket's buffer: it is the coordinator who must choose, not the queue.
        mesh.lab.run("coord", ["tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", f"{MBIT}mbit", "burst", "256kb",
                               "limit", "64mb"], check=True)
        with flood(mesh, "a1", "b1"):
            wait_until(lambda: mesh.counter("coord", "relay_over_share") > 1000, 10, "the flood is more than the link takes")
            before, begin = mesh.counters("coord"), time.monotonic()
            with mesh.transfer("c1", "d1", mbit=0) as transfer, Stream(mesh, "e1", "f1", 4) as stream:
                transfer.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
                with mesh.pinger("e1", "f1") as pinger:
                    time.sleep(SECONDS)
                    sent = len(pinger.sent)
                    stream.stop_sending()
                    seconds, tcp, after = time.monotonic() - begin, transfer.got * 8 / 1e6, mesh.counters("coord")
                    wait_until(lambda: len(pinger.answered) >= 0.95 * sent, 2,
                               f"95 % of {sent} pings are answered; it is {len(pinger.answered)}")
                    wait_until(lambda: len(stream.arrived) >= 0.95 * stream.sent, 1,
                               f"95 % of {stream.sent} datagrams arrive; it is {len(stream.arrived)}")
        offered, forwarded = ((after[name] - before[name]) * 8 / 1e6 / seconds for name in ("rx_bytes", "relay_forwarded_bytes"))
        print(f"  offered {offered:.0f} Mbit/s, forwarded {forwarded:.0f}, TCP {tcp / seconds:.0f}, "
              f"datagrams {len(stream.arrived)} of {stream.sent}")
        check(offered > 1.5 * MBIT, f"only {offered:.0f} Mbit/s were offered: no flood")
        check(forwarded > 0.7 * MBIT, f"only {forwarded:.0f} of {MBIT} Mbit/s were used")
        check(tcp / seconds > MBIT / 10, f"TCP beside the flood made {tcp / seconds:.0f} of {MBIT} Mbit/s")


main(others_keep_their_share)
