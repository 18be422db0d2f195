#!/usr/bin/env python3
# ctest: timeout=120
"""Whatever strangers send to the TCP ports of a coordinator and of a peer, members go on, others get in, and little is held for it.

    coord  tcp 27700, 443
      |
    inet ---- [only TCP gets out] ---- a1 \\  relayed over the coordinator's TCP port
        |---- [masquerade random] ---- c1 /
        |---- b1  public: its TCP port is open to strangers too
        |---- d1  a member that comes in the middle of it
        `---- e1 .. e6  strangers
"""
import contextlib
import os
import select
import socket
import struct
import time

from harness import Capture, Mesh, Site, check, main, memory_mib, wait_until

HOSTS = [f"e{n}" for n in range(1, 7)]
HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(range(200))
# What may be in their way: nothing that makes a frame, frames that hold nothing good, and what other servers are asked.
SAID = {
    "nothing, and the end": b"",
    "a line": b"hello\r\n",
    "HTTP": b"GET / HTTP/1.1\r\nHost: example.net\r\n\r\n",
    "TLS": HELLO,
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "an empty frame": b"\0\0",
    "the longest frame that is none": b"\xff\xff" + bytes(3000),
    "one byte more than a frame has": b"\x10\x01" + bytes(4097),
    "a frame of zeros": b"\x10\0" + bytes(4096),
    "junk as long as an initiation": struct.pack("!H", 168) + os.urandom(168),
    "an initiation of junk": struct.pack("!H", 168) + b"\x50" + os.urandom(167),
    "a sealed message": struct.pack("!H", 64) + b"\x54" + os.urandom(63),
    "many small frames": b"\0\1x" * 2000,
}


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def dial(mesh, host, to):
    s = mesh.lab.socket(host, type=socket.SOCK_STREAM)
    s.connect_ex(to)
    return s


def answer_to(mesh, to, said, seconds=2, ends=True):
    """What a stranger gets for it. `ends`: he says no more after it, and the other end closes."""
    got = b""
    with mesh.lab.socket("e1", type=socket.SOCK_STREAM) as s:
        s.settimeout(seconds)
        s.connect(to)
        with contextlib.suppress(OSError):  # it may be closed at the first bytes, or never
            s.sendall(said)
            if ends:
                s.shutdown(socket.SHUT_WR)
            while True:
                part = s.recv(65536)
                if not part:
                    break
                got += part
    return got


def words(mesh, host, to):
    for what, said in SAID.items():
        got = answer_to(mesh, to, said)
        check(got == b"", f"{host} answers {what} with {len(got)} bytes: {got[:40]}")


def unfinished(mesh, to, each):
    """Connections from all strangers that send half a frame and then nothing, nor read."""
    sockets = []
    for host in HOSTS:
        for _ in range(each):
            sockets.append(dial(mesh, host, to))
    end = time.monotonic() + 3
    waiting = set(sockets)
    while waiting and time.monotonic() < end:
        for s in select.select([], list(waiting), [], 0.1)[1]:
            waiting.discard(s)
            with contextlib.suppress(OSError):
                s.send(b"\x10\0half")
    return sockets


def close_all(sockets):
    for s in sockets:
        s.close()


class Watch:
    """Members' traffic meanwhile, and what the daemon under attack holds."""

    def __init__(self, mesh, host, pinger, limit):
        self.process, self.host, self.pinger, self.limit = mesh.nodes[host].process, host, pinger, limit
        self.before, self.memory, self.begin = descriptors(self.process), memory_mib(self.process.pid)[1], time.monotonic()

    def holds(self, what):
        count = descriptors(self.process) - self.before
        check(count <= self.limit, f"{self.host} has {count} more descriptors: {what}")

    def over(self, what):
        wait_until(lambda: descriptors(self.process) <= self.before + 2, 7, f"{self.host} lets go of all: {what}")
        gap = self.pinger.longest_gap(self.begin)
        check(gap < 1, f"members had no answer for {gap:.1f} s: {what}")
        grown = memory_mib(self.process.pid)[1] - self.memory
        if not os.environ.get("WARREN_SANITIZE"):  # they keep what was freed
            check(grown < 16, f"{self.host} has grown by {grown:.1f} MiB: {what}")


def laboratory():
    return Mesh([Site("a", "udpblocked"), Site("b", "open"), Site("c", "symrand"), Site("d", "port"),
                 Site("e", "open", hosts=len(HOSTS))], members=["a1", "b1", "c1", "d1"])


def members_of(mesh):
    mesh.start("coord", "a1", "b1", "c1")
    mesh.wait_registered("a1", "b1", "c1")
    check(mesh.ping("a1", "c1", 5) is not None, "a1 does not reach c1")


def initiation_of(wire):
    """The first that a registering member said: the frame, header and all."""
    for out, frame in list(wire.frames):
        ip = frame[14:]
        if out and frame[12:14] == b"\x08\0" and ip[9] == 6 and ip[22:24] == struct.pack("!H", 27700):
            payload = ip[20 + (ip[32] >> 4) * 4:struct.unpack("!H", ip[2:4])[0]]
            if payload:
                return payload
    return None


def a_coordinators_port():
    with laboratory() as mesh:
        with Capture(mesh.lab.ns("inet"), "coord") as wire:
            members_of(mesh)
            first = initiation_of(wire)
        to = (mesh.lab.ip("coord"), 27700)
        with mesh.pinger("a1", "c1") as pinger:
            watch = Watch(mesh, "coord", pinger, 80)
            words(mesh, "coord", to)
            check(first, "no initiation was captured")
            got = answer_to(mesh, to, first, seconds=1, ends=False) if first else b""
            check(len(got) <= len(first), f"an initiation of {len(first)} bytes, sent again, is answered with {len(got)}")
            check(mesh.counter("coord", "registrations") == 3, "the replayed initiation registered somebody")
            watch.over("words")
            sockets = unfinished(mesh, to, 60)
            watch.holds("360 half frames")
            mesh.start("d1")
            wait_until(lambda: mesh.counter("coord", "registrations") >= 4, 5, "d1 is registered meanwhile")
            check(mesh.ping("d1", "c1", 5) is not None, "d1 does not reach c1")
            watch.holds("360 half frames and a member more")
            watch.before += 1  # d1's connection
            watch.over("half frames time out")
            close_all(sockets)


def the_newcomer_is_not_driven_out_by_one_stranger():
    """He connects again and again, as fast as he can; the newcomer is 200 ms away."""
    with Mesh([Site("d", "port", delay=100), Site("e", "open")], members=["d1"]) as mesh:
        mesh.start("coord")
        mesh.nodes["d1"].start()
        to, sockets, begin = (mesh.lab.ip("coord"), 27700), [], time.monotonic()
        while mesh.counter("coord", "registrations") == 0 and time.monotonic() < begin + 5:
            sockets += [dial(mesh, "e1", to) for _ in range(40)]
            close_all(sockets[:-200])
            sockets = sockets[-200:]
        took = time.monotonic() - begin
        close_all(sockets)
        check(took < 4, f"d1 was registered after {took:.1f} s")


def a_peers_port():
    with laboratory() as mesh:
        members_of(mesh)
        check(mesh.ping("a1", "b1", 5) is not None, "a1 does not reach b1")
        mesh.wait_path("a1", "b1", "tcp", within=5)
        to = (mesh.lab.ip("b1"), mesh.nodes["b1"].ask("status")["underlay"]["port"])
        with mesh.pinger("a1", "b1") as pinger:
            time.sleep(0.2)
            watch = Watch(mesh, "b1", pinger, 70)
            words(mesh, "b1", to)
            watch.over("words")
            sockets = unfinished(mesh, to, 60)
            watch.holds("360 half frames")
            check(mesh.counter("b1", "tcp_refused") > 250, "no more than a few are held for one stranger")
            watch.over("half frames time out")
            close_all(sockets)
            check(mesh.kind("a1", "b1") == "tcp", "the members' own connection was lost")


main(a_coordinators_port, the_newcomer_is_not_driven_out_by_one_stranger, a_peers_port)
