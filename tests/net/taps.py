"""What goes into a tunnel and what comes out of it, packet by packet, as it would look on the next wire

    kernel --> [out of warren0] --> warrend == UDP == warrend --> [in from warren0] --> kernel
                     |                                                   |
                  TUN "out"                                           TUN "in"      the test's own

In a capture of warren0 itself a packet is a train, its checksum still to be computed. So each is copied to a second interface
(nft dup) that has no offload at all: for that the kernel cuts the train and finishes the checksums, by the same header fields that
any next hop would rely on, and what can be read there is the packets themselves."""
import collections
import contextlib
import fcntl
import ipaddress
import os
import select
import struct
import threading
import time

from natlab import netns, nft, sh

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
COPIES = """
table netdev warren_taps {
  chain leaving {
    type filter hook egress device "warren0" priority 0; policy accept;
    dup to "out"
  }
  chain coming {
    type filter hook ingress device "warren0" priority 0; policy accept;
    dup to "in"
  }
}
"""
TCP, UDP = 6, 17
OF_FIRST, OF_LAST = 0x80, 0x09  # of a train's segments: CWR; PSH and FIN
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60


def ones_sum(data):
    """The sum in ones' complement (RFC 1071); 0xffff for none of the two zeros."""
    return int.from_bytes(data + bytes(len(data) % 2), "big") % 0xFFFF


class Packet:
    """An IP packet taken apart as far as the checksums need it."""

    def __init__(self, data):
        self.six = data[0] >> 4 == 6
        total = 40 + int.from_bytes(data[4:6], "big") if self.six else int.from_bytes(data[2:4], "big")
        self.data = data = data[:total]
        if self.six:
            self.source, self.target = data[8:24], data[24:40]
            self.proto, self.at, self.fragment = self._after_extensions()
        else:
            self.source, self.target = data[12:16], data[16:20]
            self.proto, self.at = data[9], (data[0] & 15) * 4
            self.fragment = bool(int.from_bytes(data[6:8], "big") & 0x3FFF)
        self.l4 = b"" if self.fragment else data[self.at:]

    def _after_extensions(self):
        kind, at, fragment = self.data[6], 40, False
        while kind in (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION) and len(self.data) >= at + 8 and not fragment:
            if kind == FRAGMENT:
                fragment, size = int.from_bytes(self.data[at + 2:at + 4], "big") & 0xFFF9 != 0, 8
            else:
                size = 8 + 8 * self.data[at + 1]
            if kind == ROUTING and self.data[at + 3]:  # the one that is summed is the last that it is to visit
                self.target = self.data[at + size - 16:at + size]
            kind, at = self.data[at], at + size
        return kind, at, fragment

    def is_whole_l4(self, proto, header):
        return self.proto == proto and len(self.l4) >= header

    def is_tcp(self):
        return self.is_whole_l4(TCP, 20)

    def fault(self):
        """What is wrong with its checksums; None: nothing."""
        if not self.six and ones_sum(self.data[:(self.data[0] & 15) * 4]):
            return "IPv4 header checksum"
        if not self.is_tcp() and not self.is_whole_l4(UDP, 8):
            return None
        if self.proto == UDP and self.l4[6:8] == bytes(2):
            return "UDP without a checksum" if self.six else None
        pseudo = self.source + self.target + struct.pack("!II", len(self.l4), self.proto)
        return f"checksum of protocol {self.proto}" if ones_sum(pseudo + self.l4) else None

    def same(self):
        """What must be the same at the far end: all but the id of an IPv4 packet with DF, which means nothing (RFC 6864) and is
        counted on when a train is cut, and the header checksum over it; and TCP has two ways to write a checksum of zero."""
        data = bytearray(self.data)
        if not self.six and (data[6] & 0x40) and not self.fragment:
            data[4:6] = data[10:12] = bytes(2)
        if self.is_tcp() and data[self.at + 16:self.at + 18] == b"\xff\xff":
            data[self.at + 16:self.at + 18] = bytes(2)
        return bytes(data)

    # -- of TCP

    def flags(self):
        return (self.l4[12] & 1) << 8 | self.l4[13]

    def window(self):
        return int.from_bytes(self.l4[14:16], "big")

    def options(self):
        """Kinds of its options."""
        kinds, at, end = set(), 20, (self.l4[12] >> 4) * 4
        while at < end and self.l4[at]:
            kinds.add(self.l4[at])
            at += 1 if self.l4[at] == 1 else max(2, self.l4[at + 1])
        return kinds

    def seq(self):
        return int.from_bytes(self.l4[4:8], "big")

    def payload(self):
        return self.l4[(self.l4[12] >> 4) * 4:]

    def kind(self):
        """Its header without what differs between the packets of a train: length, number, checksums, PSH, FIN and CWR."""
        header = bytearray(self.data[:len(self.data) - len(self.payload())])
        for at, size in ((4, 2),) if self.six else ((2, 4), (10, 2)):
            header[at:at + size] = bytes(size)
        for at, size in ((4, 4), (16, 2)):
            header[self.at + at:self.at + at + size] = bytes(size)
        header[self.at + 13] &= ~(OF_FIRST | OF_LAST)
        return bytes(header)

    def ecn(self):
        return self.data[1] >> 4 & 3 if self.six else self.data[1] & 3

    def __str__(self):
        ends = " > ".join(str(ipaddress.ip_address(a)) for a in (self.source, self.target))
        return f"{ends} proto {self.proto} {len(self.data)} bytes: {self.data[:80].hex()}"


def cut_anew(lost, made):
    """The two less the TCP segments that went in as some and came out as others, of the same bytes under the same header: what a path
    carries whole gets less at times, and trains are cut to it."""
    trains = collections.defaultdict(list)  # [segment that went in, bytes of it that came out]
    for data in lost:
        p = Packet(data)
        if p.is_tcp() and p.payload():
            trains[p.kind()].append([p, 0])
    left = collections.Counter()
    for data, n in made.items():
        p = Packet(data)
        overlaps, flags = [], 0
        for part in trains[p.kind()] if p.is_tcp() else ():
            went, size = part[0], len(p.payload())
            offset = (went.seq() - p.seq() + (1 << 31)) % (1 << 32) - (1 << 31)
            begin, end = max(0, offset), min(size, offset + len(went.payload()))
            if begin < end and p.payload()[begin:end] == went.payload()[begin - offset:end - offset]:
                overlaps.append((part, end - begin))
                flags |= went.flags() & (OF_FIRST if offset == 0 else 0)
                flags |= went.flags() & (OF_LAST if offset + len(went.payload()) == size else 0)
        if not overlaps or sum(size for _, size in overlaps) != len(p.payload()) or p.flags() & (OF_FIRST | OF_LAST) != flags:
            left[data] = n
            continue
        for part, size in overlaps:
            part[1] += size
    whole = {p.data for parts in trains.values() for p, size in parts if size >= len(p.payload())}
    return collections.Counter({data: n for data, n in lost.items() if data not in whole}), left


class Taps:
    """In each of the hosts two interfaces of ours, and everything that passes warren0 kept in memory. Only what is from one of
    these hosts' overlay addresses to another's counts."""

    def __init__(self, mesh, *hosts):
        self.lab, self.hosts = mesh.lab, hosts
        self.addresses = {ipaddress.ip_address(mesh.overlay(h, six)).packed for h in hosts for six in (False, True)}
        self.names, self.passed, self.others = {}, {}, {}
        for host in hosts:
            for way in ("out", "in"):
                self.names[self._open(host, way)] = (host, way)
                self.passed[host, way], self.others[host, way] = [], []
        self._poll = select.poll()
        for fd in self.names:
            self._poll.register(fd, select.POLLIN)
        self._ended, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)
        self.last = self.idle = 0.0  # when anything came, and when nothing was left to read

    def _open(self, host, way):
        with netns(self.lab.ns(host)):
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", way.encode(), IFF_TUN | IFF_NO_PI))
        sh("ip", "-netns", self.lab.ns(host), "link", "set", way, "up", "mtu", "65535", "txqueuelen", "50000", "addrgenmode", "none")
        return fd

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._ended.set()
        self._thread.join()
        for fd in self.names:
            os.close(fd)

    def attach(self):
        """To the warren0 that there is now: it is another one when a daemon was started again."""
        for host in self.hosts:
            nft(self.lab.ns(host), "table netdev warren_taps\ndelete table netdev warren_taps\n" + COPIES)

    def _run(self):
        while not self._ended.is_set():
            readable = self._poll.poll(20)
            if not readable:
                self.idle = time.monotonic()
            for fd, _ in readable:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        self._keep(self.names[fd], Packet(os.read(fd, 65536)))

    def _keep(self, where, packet):
        own = {packet.data[8:24], packet.data[24:40]} if packet.six else {packet.source, packet.target}
        (self.passed if own <= self.addresses else self.others)[where].append(packet)
        self.last = time.monotonic()

    def forget(self):
        for packets in (*self.passed.values(), *self.others.values()):
            packets.clear()

    def quiet(self, seconds=0.1):
        """Waits until nothing has passed for some time from now on."""
        begin = time.monotonic()
        while self.idle < max(begin, self.last) + seconds:
            time.sleep(0.01)

    def differences(self, source, target):
        """What went in at the source and did not come out at the target, and what came out without having gone in."""
        went, came = (collections.Counter(p.same() for p in list(self.passed[where]))
                      for where in ((source, "out"), (target, "in")))
        lost, made = went - came, came - went
        return (lost, made) if not made else cut_anew(lost, made)
