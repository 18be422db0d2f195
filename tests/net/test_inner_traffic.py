#!/usr/bin/env python3
# ctest: timeout=120
"""What comes out of the tunnel is what went in, packet by packet, whatever the packets are and whichever offload is off.

    coord
      |
    inet ---- [open] ---- a1  <== packets of every kind ==>  b1
        `---- [open] ---- b1

Both ways, IPv4 and IPv6 inside. taps.py reads the packets at both ends as the next wire would carry them, cut and with their
checksums; the sockets compare the bytes.
"""
import contextlib
import hashlib
import ipaddress
import os
import select
import signal
import socket
import struct
import time

import packets
from harness import Capture, Mesh, Site, check, main, netns, nft, sh, wait_until
from links import path_mtu
from taps import Taps

EVERY = "reuseport,multiqueue,gso,gro,vnet,ipsec-mb,aes"
HOSTS = "a1", "b1"
WAYS = ("a1", "b1"), ("b1", "a1")
TUN_MTU = 1420
UDP_SEGMENT, UDP_GRO = 103, 104
SOL_PACKET, PACKET_VNET_HDR = 263, 15
IP_RECVERR, IPV6_RECVERR = 11, 25
# One in a hundred of what TCP sends has met congestion on the way.
CONGESTED = """
table inet congested {
  chain sent {
    type filter hook output priority 0; policy accept;
    oifname "warren0" meta l4proto tcp ip ecn { 1, 2 } numgen inc mod 20 == 0 ip ecn set ce
    oifname "warren0" meta l4proto tcp ip6 ecn { 1, 2 } numgen inc mod 20 == 0 ip6 ecn set ce
  }
}
"""


class Ends:
    """Two meshed hosts whose inner packets are all seen."""

    def __init__(self, mesh, taps):
        self.mesh, self.taps, self.lab = mesh, taps, mesh.lab

    def packed(self, host, six):
        return ipaddress.ip_address(self.mesh.overlay(host, six)).packed

    def socket(self, host, kind, six=False):
        with netns(self.lab.ns(host)):
            s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, kind)
        s.settimeout(5)
        return s

    def udp_pair(self, source, target, six):
        """A connected sender, and a receiver."""
        receiver, sender = (self.socket(h, socket.SOCK_DGRAM, six) for h in (target, source))
        receiver.bind((self.mesh.overlay(target, six), 0))
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUFFORCE if hasattr(socket, "SO_RCVBUFFORCE") else 33, 4 << 20)
        sender.connect(receiver.getsockname()[:2])
        return sender, receiver

    def tcp_pair(self, source, target, six, prepare=lambda s: None):
        """Both ends of a connection; `prepare` is for either socket, and is inherited by the accepted one."""
        with self.socket(target, socket.SOCK_STREAM, six) as listener:
            prepare(listener)
            listener.bind((self.mesh.overlay(target, six), 0))
            listener.listen()
            client = self.socket(source, socket.SOCK_STREAM, six)
            prepare(client)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
            client.connect(listener.getsockname()[:2])
            server, _ = listener.accept()
        server.settimeout(5)
        return client, server

    def same(self, what, may_lose=0.0, damaged=frozenset()):
        """Everything that went in has come out, or all but that part, which overfull queues may have dropped; nothing else has; and
        all is right in itself, unless it was damaged before."""
        def settled():
            self.taps.quiet()
            return not any(self.taps.differences(*way)[0] for way in WAYS)
        if not may_lose:
            with contextlib.suppress(AssertionError):
                wait_until(settled, 3, "")
        self.taps.quiet()
        for source, target in WAYS:
            lost, made = self.taps.differences(source, target)
            n = len(self.taps.passed[source, "out"])
            for name, of, most in (("not out", lost, may_lose * n), ("made up", made, 0)):
                check(sum(of.values()) <= most,
                      f"{what}, {source} to {target}: {sum(of.values())} of {n} packets {name}, as {next(iter(of), b'').hex()[:240]}")
            for packet in list(self.taps.passed[target, "in"]):
                fault = packet.fault()
                check(not fault or packet.same() in damaged, f"{what}, {source} to {target}: {fault}: {packet}")
        self.taps.forget()

    def passed(self, *hosts):
        """What came out of the tunnel at the hosts, of TCP."""
        return [p for h in hosts or HOSTS for p in list(self.taps.passed[h, "in"]) if p.is_tcp()]


@contextlib.contextmanager
def network():
    with Mesh([Site("a", "open"), Site("b", "open")]) as mesh:
        mesh.start("coord")
        for host in HOSTS:
            ns = mesh.lab.ns(host)
            nft(ns, CONGESTED)
            sh("ip", "netns", "exec", ns, "sysctl", "-q", "net.ipv4.tcp_ecn=1", "net.ipv4.tcp_timestamps=1", "net.ipv4.tcp_sack=1")
        with Taps(mesh, *HOSTS) as taps:
            yield Ends(mesh, taps)


@contextlib.contextmanager
def meshed(ends, env_a="", env_b=""):
    """Daemons of both hosts, on their way to each other, which carries packets of the TUN's MTU whole."""
    mesh, registered = ends.mesh, ends.mesh.counter("coord", "registrations")
    for host, env in zip(HOSTS, (env_a, env_b)):
        mesh.start(host, env={"WARREN_DISABLE": env}.items(), wait=False)
    wait_until(lambda: mesh.counter("coord", "registrations") >= registered + 2, 5, "both are registered")
    with mesh.pinger("a1", "b1"), mesh.pinger("b1", "a1"):
        mesh.wait_path("a1", "b1", "direct", within=4)
        wait_until(lambda: all((path_mtu(mesh, b, a) or 0) >= TUN_MTU for a, b in WAYS), 10, "the path's MTU is known")
    ends.taps.attach()
    ends.taps.quiet()
    ends.taps.forget()
    yield
    for host in HOSTS:
        mesh.nodes[host].stop()


# ---------------------------------------------------------------- what is sent

@contextlib.contextmanager
def standing_still(process):
    """What is sent meanwhile waits, to be read at one go: only so do packets that follow each other get joined."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def by_hand(ends):
    """Whatever an IP packet may be, as a router behind the node would hand it over, and as a host would, its checksum unfinished."""
    damaged = set()
    for source, target in WAYS:
        with netns(ends.lab.ns(source)):
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with s:
            s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            for six in (False, True):
                addresses = ends.packed(source, six), ends.packed(target, six)
                broken = list(packets.damaged(*addresses, six))
                damaged |= {packets.Packet(p).same() for p in broken}
                sent = [*(packets.of_ipv6 if six else packets.of_ipv4)(*addresses), *broken]
                with standing_still(ends.mesh.nodes[source].process):
                    for p in [*map(packets.unfinished, sent), *(bytes(10) + p for p in sent)]:
                        s.sendto(p, ("warren0", 0x86DD if six else 0x0800))
                wait_until(lambda: len(ends.taps.passed[target, "in"]) >= len(sent), 2, "packets made by hand come out")
                ends.taps.quiet()  # queues are not endless
    ends.same("packets made by hand", damaged=damaged)


def streams(ends, total=700_000):
    """TCP as it comes: timestamps, SACK, ECN and marks of congestion; returns the longest packets that the far kernels were given."""
    with contextlib.ExitStack() as stack:
        seen = [stack.enter_context(Capture(ends.lab.ns(h), "warren0")) for h in HOSTS]
        running = [stack.enter_context(ends.mesh.transfer(a, b, six=six, mbit=40, total=total, port=5201 + six))
                   for a, b in WAYS for six in (False, True)]
        for t in running:
            t.complete(10)
        longest = [max(len(frame) for out, frame in c.frames if not out) for c in seen]
    ends.taps.quiet()
    came = ends.passed()
    syn = [p for p in came if p.flags() & packets.SYN]
    check(any(p.flags() & packets.ECE for p in syn) and all({4, 8} <= p.options() for p in syn), "no ECN, SACK or timestamps")
    for six in (False, True):
        for what, has in (("mark of congestion", lambda p: p.ecn() == 3), ("echo of it", lambda p: p.flags() & packets.ECE),
                          ("answer to that", lambda p: p.flags() & packets.CWR and not p.flags() & packets.SYN)):
            check(any(has(p) for p in came if p.six == six), f"no {what}, IPv6: {six}")
    ends.same("TCP", may_lose=0.05)
    return longest


def options_of_sockets(ends):
    """What an application can have put between IP's header and its own."""
    def put(s, six):
        if six:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, packets.options6(8))
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, packets.options6(16))
        else:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x94\4\0\0\7\x0b\4" + bytes(8) + b"\0")
    for (source, target), six in ((way, six) for way in WAYS for six in (False, True)):
        client, server = ends.tcp_pair(source, target, six, lambda s: put(s, six))
        sender, receiver = ends.udp_pair(source, target, six)
        with client, server, sender, receiver:
            text = os.urandom(60_000)
            client.sendall(text)
            check(received(server, len(text)) == text, "the stream arrived otherwise")
            put(sender, six)
            for size in (10, 1300, 5000):
                datagram = os.urandom(size)
                sender.send(datagram)
                check(receiver.recv(65536) == datagram, f"a datagram of {size} bytes arrived otherwise")
        ends.taps.quiet()
        optioned = [p for p in list(ends.taps.passed[target, "in"]) if p.six == six and (p.data[6] == 0 if six else p.data[0] > 0x45)]
        check(len(optioned) > 20, f"{len(optioned)} packets with options, IPv6: {six}")
    ends.same("options of IP")


def received(s, size):
    data = b""
    while len(data) < size:
        part = s.recv(size - len(data))
        check(part, f"the connection ended after {len(data)} of {size} bytes")
        data += part
    return data


def datagrams(ends):
    """UDP of every length that matters: in one packet, just not, in many fragments."""
    sizes = [0, 1, 2, 3, 511, 1200, *range(1371, 1400), 1452, 1472, 1473, 1500, 2800, 8192, 16384, 65000, 65507]
    for (source, target), six in ((way, six) for way in WAYS for six in (False, True)):
        sender, receiver = ends.udp_pair(source, target, six)
        with sender, receiver:
            for size in sizes:
                datagram = os.urandom(size)
                sender.send(datagram)
                try:
                    got = receiver.recv(65536)
                except TimeoutError:
                    got = None
                check(got == datagram, f"{source} to {target}, IPv6 {six}: {size} bytes: " +
                      ("nothing" if got is None else f"{len(got)} other bytes") + " arrived")
    ends.same("UDP")


def trains_of_datagrams(ends):
    """As QUIC sends and receives: UDP_SEGMENT on one socket, UDP_GRO, or not, on the other."""
    n_trains = 0
    for (source, target), six, size in ((way, six, size) for way in WAYS for six in (False, True) for size in (1, 100, 1200, 1372)):
        for has_gro in (True, False):
            sender, receiver = ends.udp_pair(source, target, six)
            with sender, receiver:
                if has_gro:
                    receiver.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
                train = os.urandom(min(40, 60000 // size) * size + size // 3)
                sender.sendmsg([train], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("H", size))])
                got = []
                while sum(map(len, got)) < len(train):
                    data, ancillary, *_ = receiver.recvmsg(65536, 64)
                    step = next((struct.unpack("i", value)[0] for _, kind, value in ancillary if kind == UDP_GRO), len(data) or 1)
                    got += [data[at:at + step] for at in range(0, len(data), step)]
                    n_trains += step < len(data)
                check(got == [train[at:at + size] for at in range(0, len(train), size)], f"datagrams of {size} bytes arrived otherwise")
    ends.same("trains of UDP")
    return n_trains


def urgent(ends):
    for (source, target), six in ((way, six) for way in WAYS for six in (False, True)):
        client, server = ends.tcp_pair(source, target, six, lambda s: s.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1))
        with client, server:
            for n in range(30):
                part = os.urandom(1 + n * n * 20)
                client.sendall(part[:-1])
                client.send(part[-1:], socket.MSG_OOB)
                check(received(server, len(part)) == part, f"{len(part)} bytes, the last one urgent, arrived otherwise")
        wait_until(lambda: any(p.flags() & packets.URG and p.six == six for p in ends.passed(target)), 2,
                   f"something urgent comes to {target}, IPv6: {six}")
    ends.same("urgent bytes")


def reader_that_stops(ends):
    """The window closes, is asked for, and opens again."""
    text = os.urandom(2_000_000)
    with contextlib.ExitStack() as stack:
        pairs = [(*ends.tcp_pair(a, b, six, lambda s: s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)), a, six)
                 for a, b in WAYS for six in (False, True)]
        left = {}
        for client, server, *_ in pairs:
            stack.enter_context(client)
            stack.enter_context(server)
            client.setblocking(False)
            left[client] = memoryview(text)[:600_000]

        def push(wait=0.0):
            for client in select.select([], [c for c in left if left[c]], [], wait)[1]:
                with contextlib.suppress(BlockingIOError):
                    left[client] = left[client][client.send(left[client]):]

        def closed(source, six):
            push()
            return any(p.window() == 0 and p.six == six and not p.flags() & packets.RST for p in ends.passed(source))
        for *_, source, six in pairs:
            wait_until(lambda: closed(source, six), 5, f"the window towards {source} closes, IPv6: {six}")
        time.sleep(0.3)  # so that it is probed
        got = {server: hashlib.sha256() for _, server, *_ in pairs}
        n_got, begin = dict.fromkeys(got, 0), time.monotonic()
        while min(n_got.values()) < 600_000:
            check(time.monotonic() < begin + 10, f"{list(n_got.values())} bytes after a window of zero")
            push()
            for server in select.select(list(got), [], [], 0.05)[0]:
                data = server.recv(65536)
                got[server].update(data)
                n_got[server] += len(data)
        expected = hashlib.sha256(text[:600_000]).digest()
        check(all(h.digest() == expected for h in got.values()), "a stream whose reader stopped arrived otherwise")
    ends.same("a window of zero")


def losses(ends):
    """Datagrams get lost under the tunnel: SACK says which, inside."""
    for link in HOSTS:
        ends.lab.set(link, loss=2)
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(ends.mesh.transfer(a, b, six=six, mbit=0, total=1_000_000, port=5301 + six))
                   for a, b in WAYS for six in (False, True)]
        for t in running:
            t.complete(15)
    for link in HOSTS:
        ends.lab.set(link, loss=0)
    ends.taps.quiet()
    for six in (False, True):
        check(any(5 in p.options() for p in ends.passed() if p.six == six), f"no SACK, IPv6: {six}")
    ends.same("TCP with losses", may_lose=0.2)


def to_many(ends):
    """Multicast and broadcast go nowhere, are counted, and are not answered (RFC 1122 section 3.2.2, RFC 4443 section 2.4)."""
    before = ends.mesh.counter("a1", "drop_multicast")
    groups = ["224.0.0.251", "239.1.2.3", "255.255.255.255", "10.77.255.255", "ff02::fb", "ff05::2", "ff0e::1"]
    with contextlib.ExitStack() as stack:
        for group in groups:
            s = stack.enter_context(ends.socket("a1", socket.SOCK_DGRAM, ":" in group))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"warren0")
            s.sendto(b"to everybody", (group, 5353))
        wait_until(lambda: ends.mesh.counter("a1", "drop_multicast") >= before + len(groups), 2, "each was counted")
        ends.taps.quiet()
        # a1's own kernel hears its own broadcasts, as if they had come in.
        answers = [p for p in ends.taps.others["a1", "in"] + ends.taps.passed["a1", "in"] if p.proto in (packets.ICMP, packets.ICMP6)]
        for what, of in (("went to b1", ends.taps.others["b1", "in"]), ("was answered", answers)):
            check(not of, f"to many: {what}: {[str(p) for p in of]}")
    for address in ("10.77.0.99", "fd77::99"):  # to nobody: that is said
        with ends.socket("a1", socket.SOCK_DGRAM, ":" in address) as s:
            s.setsockopt(*((socket.IPPROTO_IPV6, IPV6_RECVERR) if ":" in address else (socket.IPPROTO_IP, IP_RECVERR)), 1)
            s.connect((address, 9))
            s.send(b"to nobody")
            wait_until(lambda: s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 5, f"{address} is said to be unreachable")
    check(ends.mesh.ping("a1", "b1", 1) is not None, "a1 does not reach b1 any more")
    ends.same("packets to many")


# ---------------------------------------------------------------- cases

def offload_in_use(ends, env):
    on = ends.mesh.nodes["a1"].ask("status")["offload"]
    check(not any(on.get(name) for name in env.split(",") if name), f"WARREN_DISABLE={env}: {on}")
    return on


def everything_as_it_comes():
    with network() as ends, meshed(ends):
        on = offload_in_use(ends, "")
        longest = streams(ends)
        check(not on["vnet"] or min(longest) > 2 * TUN_MTU, f"no trains were joined: {longest}")
        by_hand(ends)
        options_of_sockets(ends)
        datagrams(ends)
        trains_of_datagrams(ends)
        urgent(ends)
        reader_that_stops(ends)
        to_many(ends)
        losses(ends)


def the_same_with_each_offload_turned_off():
    with network() as ends:
        for env_a, env_b in ((EVERY, EVERY), (EVERY, ""), *((name, name) for name in ("gso", "gro", "vnet", "multiqueue", "reuseport"))):
            with meshed(ends, env_a, env_b):
                offload_in_use(ends, env_a)
                longest = streams(ends, 300_000)
                check("vnet" not in env_b or longest[1] <= TUN_MTU, f"without a vnet header: a packet of {longest[1]} bytes")
                by_hand(ends)
                trains_of_datagrams(ends)
                if env_b == EVERY:
                    options_of_sockets(ends)
                    datagrams(ends)
                    urgent(ends)
                    reader_that_stops(ends)
                    losses(ends)


main(everything_as_it_comes, the_same_with_each_offload_turned_off)
