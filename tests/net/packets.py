"""Packets made by hand, of every kind that a tunnel may be given: IPv4 with options, IPv6 with extension headers, fragments, odd
flags, runs that may be joined and runs that may not, and damaged ones

All from one overlay address to another, checksums right unless they are damaged."""
import itertools
import os
import struct

from taps import DESTINATION, FRAGMENT, HOP_BY_HOP, ROUTING, TCP, UDP, Packet, ones_sum

__all__ = ["Packet", "of_ipv4", "of_ipv6", "damaged", "options6", "unfinished"]
DF, MF = 0x4000, 0x2000
ICMP, ICMP6, NOTHING = 1, 58, 59
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, NS = (1 << n for n in range(9))


def checksum(data):
    return 0xFFFF - ones_sum(data) or 0xFFFF


def udp(source, target, payload, final=None, no_checksum=False, ports=(4000, 9), length=None):
    length = length or 8 + len(payload)
    head = struct.pack("!HHHH", *ports, length, 0)
    if no_checksum:
        return head + payload
    pseudo = source + (final or target) + struct.pack("!II", 8 + len(payload), UDP)
    return head[:6] + struct.pack("!H", checksum(pseudo + head + payload)) + payload


def tcp(source, target, payload=b"", seq=1, ack=1, flags=ACK, options=b"", window=500, urgent=0, offset=None):
    options += bytes(-len(options) % 4)
    words = 5 + len(options) // 4 if offset is None else offset
    head = struct.pack("!HHIIHHHH", 4001, 9, seq, ack, words << 12 | flags, window, 0, urgent) + options
    pseudo = source + target + struct.pack("!II", len(head) + len(payload), TCP)
    return head[:16] + struct.pack("!H", checksum(pseudo + head + payload)) + head[18:] + payload


def ip4(source, target, proto, body, options=b"", tos=0, bits=DF, ident=0, ttl=64):
    options += bytes(-len(options) % 4)
    header = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, tos, 20 + len(options) + len(body), ident, bits, ttl, proto, 0)
    header += source + target + options
    return header[:10] + struct.pack("!H", 0xFFFF - ones_sum(header)) + header[12:] + body


def ip6(source, target, proto, body, extensions=(), tos=0, flow=0, hops=64):
    """`extensions`: (kind, content of whole multiples of 8 bytes, its first byte for the next header)."""
    kinds = [kind for kind, _ in extensions] + [proto]
    chain = b"".join(bytes([after]) + content[1:] for (_, content), after in zip(extensions, kinds[1:]))
    return struct.pack("!IHBB", 6 << 28 | tos << 20 | flow, len(chain) + len(body), kinds[0], hops) + source + target + chain + body


def options6(size):
    """Of hop-by-hop and destination options: one for experiments, that who does not know it skips (RFC 4727). Linux takes no more
    than seven bytes of padding."""
    return bytes([0, size // 8 - 1, 0x1E, size - 4]) + os.urandom(size - 4)


def fragment6(offset, more, ident=7):
    return struct.pack("!BBHI", 0, 0, offset | more, ident)


def of_ipv4(source, target):
    def of_udp(size, **kw):
        return ip4(source, target, UDP, udp(source, target, os.urandom(size)), **kw)

    def of_tcp(payload=b"", tos=0, **kw):
        return ip4(source, target, TCP, tcp(source, target, payload, **kw), tos=tos)

    for tos in (0, 1, 2, 3, 0xB8, 0xBB):  # each codepoint of ECN, and DSCP
        yield of_udp(100, tos=tos)
    for options in (b"\1" * 4, b"\x94\4\0\0", b"\7\x0b\4" + bytes(8), b"\x44\x0c\5\0" + bytes(8), b"\x82\x0b" + bytes(9), b"\1" * 40):
        yield of_udp(100, options=options)
    for size in (0, 1, 2, 3, 1371, 1391, 1392):
        yield of_udp(size)
    for ttl in (1, 255):
        yield of_udp(64, ttl=ttl)
    yield ip4(source, target, UDP, udp(source, target, b"no checksum", no_checksum=True))
    yield from (of_udp(size, bits=0, ident=100 + n) for n, size in enumerate((700, 700, 700, 700, 33)))  # may be joined
    yield from (of_udp(700, bits=0, ident=ident) for ident in (7, 7, 900, 901, 3))  # only some of them
    yield from (of_udp(700) for _ in range(5))
    for order in (1, -1):
        datagram = udp(source, target, os.urandom(4000))
        parts = [datagram[at:at + 1384] for at in range(0, len(datagram), 1384)]
        yield from [ip4(source, target, UDP, part, bits=(MF if at < 2 else 0) | at * 1384 // 8, ident=555)
                    for at, part in enumerate(parts)][::order]
    for flags in (0, SYN, FIN | ACK, RST, RST | ACK, URG | ACK, FIN | PSH | URG, ECE | CWR | ACK, NS | ACK, 0x1FF):
        yield of_tcp(b"odd flags", flags=flags, urgent=4)
    for options in (b"\1\1\x08\x0a" + bytes(8), b"\1\1\5\x0a" + bytes(8), b"\2\4\5\xb4\4\2\3\3\7", b"\xfe\4ab", b"\1" * 40):
        yield of_tcp(b"options", options=options)
    for tos, marked in ((2, 0), (3, ECE), (2, CWR)):  # one flow whose packets follow each other, one of them unlike the others
        yield from (of_tcp(bytes([n]) * 600, seq=1 + 600 * n, tos=tos if n == 2 else 2, flags=ACK | (marked if n == 2 else 0))
                    for n in range(6))
    yield from (of_tcp(bytes([n]) * 600, seq=1 + 600 * n, window=500 + (n == 3), flags=ACK | (PSH if n in (1, 5) else 0))
                for n in range(6))
    yield from (of_tcp(bytes(500), seq=seq) for seq in (1, 501, 501, 1501, 1001))  # twice, and out of order
    yield from (of_tcp(seq=77, ack=ack) for ack in (1, 1, 2, 1448))  # no payload
    for proto in (4, 41, 47, 50, 51, 132, 255):
        yield ip4(source, target, proto, os.urandom(200))
    yield ip4(source, target, 253, b"")
    yield ip4(source, target, ICMP, struct.pack("!BBHHH", 13, 0, checksum(b"\x0d\0\0\0\0\1\0\1"), 1, 1))


def of_ipv6(source, target):
    far = target[:8] + os.urandom(8)
    routed = bytes([0, 2, 0, 1]) + bytes(4) + far  # type 0, one segment left
    arrived = bytes([0, 2, 0, 0]) + bytes(4) + far
    chain = [(HOP_BY_HOP, options6(8)), (DESTINATION, options6(16)), (ROUTING, arrived), (DESTINATION, options6(24))]

    def of_udp(size, extensions=(), final=None, **kw):
        return ip6(source, target, UDP, udp(source, target, os.urandom(size), final), extensions, **kw)

    def of_tcp(payload, extensions=(), tos=0, **kw):
        return ip6(source, target, TCP, tcp(source, target, payload, **kw), extensions, tos=tos)

    for tos in (0, 1, 2, 3, 0xB8, 0xBB):
        yield of_udp(100, tos=tos, flow=0xABCDE)
    for size in (0, 1, 2, 3, 1371, 1372):
        yield of_udp(size)
    for size in (8, 16, 64, 256):
        for kind in (HOP_BY_HOP, DESTINATION):
            yield of_udp(100, [(kind, options6(size))])
            yield of_tcp(b"text", [(kind, options6(size))])
    yield of_udp(100, [(ROUTING, arrived)])
    yield of_udp(100, [(ROUTING, routed)], final=far)
    yield of_udp(100, chain)
    yield of_tcp(b"text", chain)
    yield from (of_tcp(bytes([n]) * 600, chain[:1], seq=1 + 600 * n) for n in range(4))
    yield from (of_tcp(bytes([n]) * 600, seq=1 + 600 * n, tos=2 if n != 2 else 3) for n in range(5))
    yield from (of_tcp(bytes([n]) * 600, seq=1 + 600 * n, flags=ACK | (CWR if n == 2 else ECE)) for n in range(5))
    yield from (of_udp(700, flow=1 + (n > 2)) for n in range(5))
    yield of_udp(200, [(FRAGMENT, fragment6(0, 0))])  # in one piece
    yield of_udp(200, [*chain, (FRAGMENT, fragment6(0, 0))])
    datagram = udp(source, target, os.urandom(3000))
    for before, order in itertools.product(([], chain), (1, -1)):
        yield from [ip6(source, target, UDP, datagram[at:at + 1208], [*before, (FRAGMENT, fragment6(at, at + 1208 < len(datagram)))])
                    for at in range(0, len(datagram), 1208)][::order]
    for proto in (4, 41, 47, 50, 51, 132, 135, 253, 255):
        yield ip6(source, target, proto, bytes([NOTHING, 1]) + os.urandom(198))
    yield ip6(source, target, NOTHING, b"")
    yield ip6(source, target, HOP_BY_HOP, bytes([UDP, 255]) + bytes(6))  # is longer than the packet
    yield ip6(source, target, ICMP6, b"\x80\0" + struct.pack("!H", checksum(
        source + target + struct.pack("!II", 8, ICMP6) + b"\x80\0\0\0\0\1\0\1")) + b"\0\1\0\1")


VNET_NEEDS_CSUM = 1


def unfinished(data):
    """A packet that has a TCP or UDP checksum as its host hands it to a device which computes those, with the vnet header; others, and
    damaged ones, as they are."""
    p = Packet(data)
    has_it = (p.is_tcp() or p.is_whole_l4(UDP, 8) and p.l4[6:8] != bytes(2)) and not p.fault()
    if not has_it:
        return struct.pack("=BBHHHH", 0, 0, 0, 0, 0, 0) + data
    offset = 16 if p.is_tcp() else 6
    pseudo = ones_sum(p.source + p.target + struct.pack("!II", len(p.l4), p.proto))
    at = p.at + offset
    return struct.pack("=BBHHHH", VNET_NEEDS_CSUM, 0, 0, 0, p.at, offset) + data[:at] + struct.pack("!H", pseudo) + data[at + 2:]


def damaged(source, target, six):
    """Not to be repaired on the way, and not to be joined with what is right."""
    def packet(proto, body):
        return ip6(source, target, proto, body) if six else ip4(source, target, proto, body)

    def flip(data, at):
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]

    l4 = 40 if six else 20
    train = [packet(TCP, tcp(source, target, bytes([n]) * 400, seq=1 + 400 * n)) for n in range(6)]
    datagrams = [packet(UDP, udp(source, target, bytes([n]) * 400)) for n in range(6)]
    for of in (train, datagrams):
        yield from of[:2]
        yield flip(of[2], l4 + (16 if of is train else 6))
        yield flip(of[3], len(of[3]) - 1)
        yield from of[4:]
    if not six:
        yield flip(train[0], 10)
    yield packet(UDP, udp(source, target, bytes(100), length=50))
    yield packet(UDP, udp(source, target, bytes(100), length=5000))
    yield packet(UDP, b"short")
    yield packet(TCP, b"too short")
    for offset in (0, 4, 15):
        yield packet(TCP, tcp(source, target, b"offset", offset=offset))
