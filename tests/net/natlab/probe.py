"""Probes (RFC 5780 by hand) and hole punching, for the selftest and the matrix"""
import contextlib
import random
import secrets
import select
import socket
import time


def recv(sock, token, wait=0.25):
    """The source of a datagram which starts with token; None when there is none."""
    end = time.monotonic() + wait
    while True:
        left = end - time.monotonic()
        if left <= 0 or not select.select([sock], [], [], left)[0]:
            return None
        try:
            data, src = sock.recvfrom(65536)
        except OSError:
            continue
        if data.startswith(token):
            return src[:2]


def send(sock, data, dst):
    try:
        sock.sendto(data, dst)
    except OSError as e:
        return e.errno
    return 0


class Probe:
    """Server sockets on both addresses of coord, and what can be measured with them."""

    def __init__(self, lab, v6=False):
        self.lab, self.v6 = lab, v6
        addrs = lab.links["coord"].v6 if v6 else lab.links["coord"].v4
        self.srv = {(a, p): lab.udp("coord", p, addrs[a], v6) for a in (0, 1) for p in (3478, 3479)}

    def addr(self, key):
        return self.srv[key].getsockname()[:2]

    def mapped(self, sock, key=(0, 3478), wait=0.25):
        token = secrets.token_bytes(8)
        send(sock, token, self.addr(key))
        return recv(self.srv[key], token, wait)

    def reply(self, sock, key, to, wait=0.15):
        token = secrets.token_bytes(8)
        send(self.srv[key], token, to)
        return recv(sock, token, wait) is not None

    def mapping(self, host):
        with self.lab.udp(host, v6=self.v6) as s:
            m = {k: self.mapped(s, k) for k in self.srv}
            if not all(m.values()):
                return "none", m
            by = [len({m[a, p] for p in (3478, 3479)}) for a in (0, 1)]
            kind = "EIM" if len(set(m.values())) == 1 else "ADM" if by == [1, 1] else "APDM"
            return kind, m

    def filtering(self, host):
        with self.lab.udp(host, v6=self.v6) as s:
            m = self.mapped(s)
            if not m:
                return "none"
            for key, kind in (((1, 3479), "EIF"), ((0, 3479), "ADF"), ((0, 3478), "APDF")):
                if self.reply(s, key, m):
                    return kind
            return "all"

    def preserves(self, host):
        with self.lab.udp(host, v6=self.v6) as s:
            m = self.mapped(s)
            return bool(m) and m[1] == s.getsockname()[1]

    def hairpin(self, host, other=None):
        """Can host reach other's mapping?  Returns (works, source it saw is the mapping)."""
        with self.lab.udp(host) as s, self.lab.udp(other or host) as t:
            ms, mt = self.mapped(s), self.mapped(t)
            if not (ms and mt):
                return False, False
            send(t, b"open", ms)
            send(s, b"open", mt)
            send(s, b"hair", mt)
            src = recv(t, b"hair", 0.15)
            return src is not None, src == ms

    def tcp(self, host, port, wait=0.3):
        with self.lab.socket("coord", type=socket.SOCK_STREAM) as lis, \
                self.lab.socket(host, type=socket.SOCK_STREAM) as c:
            lis.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            lis.bind((self.lab.ip("coord"), port))
            lis.listen()
            c.connect_ex(lis.getsockname())
            select.select([], [c], [], wait)
            try:
                c.getpeername()
                return True
            except OSError:
                return False


EXPECT = {"open": ("EIM", "EIF", True), "openfw": ("EIM", "APDF", True),
          "one2one": ("EIM", "EIF", True), "fullcone": ("EIM", "EIF", True), "addr": ("EIM", "ADF", True),
          "port": ("EIM", "APDF", True), "portnp": ("EIM", "APDF", False),
          "symaddr": ("ADM", "APDF", False), "symseq": ("APDM", "APDF", False),
          "symrand": ("APDM", "APDF", False), "udpblocked": ("none", "none", False),
          "tcp443": ("none", "none", False)}


def punch(lab, pr, a, b, wait=0.6, predict=(0, 0)):
    """Plain punching: each learns the other's reflexive address, both send, and answer to
    whatever source they see. predict: how many following ports of a, of b to aim at instead
    (the k-th packets of two sequential NATs then meet). True when each hears an answer."""
    socks = [lab.udp(h, v6=pr.v6) for h in (a, b)]
    try:
        maps = [pr.mapped(s) for s in socks]
        if not all(maps):
            return False
        to = [[(m[0], m[1] + i) for i in (range(1, n + 1) if n else (0,))]
              for m, n in zip(maps[::-1], predict[::-1])]
        known, heard = [set(), set()], [False, False]
        end = time.monotonic() + wait
        while time.monotonic() < end and not all(heard):
            for i in (0, 1):
                for dst in to[i] + list(known[i]):
                    send(socks[i], b"ack" if dst in known[i] else b"syn", dst)
            for s in select.select(socks, [], [], 0.04)[0]:
                i = socks.index(s)
                with contextlib.suppress(OSError):
                    while True:
                        data, src = s.recvfrom(100)
                        known[i].add(src[:2])
                        heard[i] |= data == b"ack"
        return all(heard)
    finally:
        for s in socks:
            s.close()


def spray(lab, pr, hard, easy, sockets=256, probes=1024, pps=0):
    """Birthday: `hard` opens many mappings towards the one of `easy`, which probes random
    ports. Returns (probes sent before the first hit, seconds) or None."""
    e = lab.udp(easy)
    hs = [lab.udp(hard) for _ in range(sockets)]
    poll = select.poll()
    for s in [e, *hs]:
        poll.register(s, select.POLLIN)
    try:
        me, mh = pr.mapped(e), pr.mapped(hs[0])
        t0 = time.monotonic()
        for s in hs:
            send(s, b"open", me)
        for n, port in enumerate(random.sample(range(1024, 65536), probes), 1):
            send(e, b"spray", (mh[0], port))
            if pps:
                time.sleep(1 / pps)
            if n % 16 == 0 and poll.poll(0):
                return n, time.monotonic() - t0
        return (probes, time.monotonic() - t0) if poll.poll(100) else None
    finally:
        for s in [e, *hs]:
            s.close()


def tcp_punch(lab, a, b, wait=1.0):
    """TCP simultaneous open between the mappings of two hosts (kinds that keep the port)."""
    lis = lab.socket("coord", type=socket.SOCK_STREAM)
    lis.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    lis.bind((lab.ip("coord"), 8443))
    lis.listen()
    keep, maps, ports = [lis], [], []
    try:
        for h in (a, b):
            c = lab.socket(h, type=socket.SOCK_STREAM)
            keep.append(c)
            c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            c.connect_ex(lis.getsockname())
            if not select.select([lis], [], [], 0.3)[0]:
                return False
            x, src = lis.accept()
            keep.append(x)
            maps.append(src)
            ports.append(c.getsockname()[1])
        socks = []
        for h, port, peer in zip((a, b), ports, maps[::-1]):
            s = lab.socket(h, type=socket.SOCK_STREAM)
            keep.append(s)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("0.0.0.0", port))
            s.connect_ex(peer)
            socks.append(s)
        end = time.monotonic() + wait
        while time.monotonic() < end:
            time.sleep(0.05)
            done = 0
            for s in socks:
                with contextlib.suppress(OSError):
                    s.getpeername()
                    done += 1
            if done == 2:
                return True
        return False
    finally:
        for s in keep:
            s.close()
