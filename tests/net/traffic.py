"""Traffic of the scenarios: pings with their times, TCP transfers with a checksum, captures, injected datagrams

The sockets are opened inside a host's namespace and used from this process, so that nothing is started per packet and
times are exact."""
import contextlib
import hashlib
import os
import select
import socket
import struct
import threading
import time

from natlab import netns

PING_SECONDS = 0.05  # between two pings


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


class Pinger:
    """Echo requests from a host to an overlay address, at a steady rate, in a thread of its own."""

    def __init__(self, lab, host, address, interval=PING_SECONDS, payload=b"", source=None):
        self.address, self.interval, self.v6 = address, interval, ":" in address
        family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if self.v6 else (socket.AF_INET, socket.IPPROTO_ICMP)
        with netns(lab.ns(host)):
            self.socket = socket.socket(family, socket.SOCK_RAW, protocol)
            if source:
                self.socket.bind((source, 0))
        self.ident = struct.unpack("!H", os.urandom(2))[0]
        self.payload = (payload or bytes(24)) + bytes(len(payload) % 2)
        self.sent, self.answered = [], []  # times; of an answer, that of its arrival
        self.unreachable = 0
        self._ended, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)
        self.begin = time.monotonic()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._ended.set()
        self._thread.join()
        self.socket.close()

    def _send(self):
        seq = len(self.sent) & 0xFFFF
        kind = 128 if self.v6 else 8
        body = struct.pack("!HH", self.ident, seq) + self.payload
        check = 0 if self.v6 else checksum(struct.pack("!BBH", kind, 0, 0) + body)
        self.sent.append(time.monotonic())
        with contextlib.suppress(OSError):  # no such route yet counts as no answer
            self.socket.sendto(struct.pack("!BBH", kind, 0, check) + body, (self.address, 0))

    def _receive(self):
        with contextlib.suppress(OSError):
            data = self.socket.recv(65536)
            data = data if self.v6 else data[(data[0] & 15) * 4:]
            kind, = struct.unpack("!B", data[:1])
            if kind == (129 if self.v6 else 0) and struct.unpack("!H", data[4:6])[0] == self.ident:
                self.answered.append(time.monotonic())
            elif kind == (1 if self.v6 else 3):
                self.unreachable += 1

    def _run(self):
        due = time.monotonic()
        while not self._ended.is_set():
            if time.monotonic() >= due:
                self._send()
                due = max(due + self.interval, time.monotonic())
            if select.select([self.socket], [], [], max(0, due - time.monotonic()))[0]:
                self._receive()

    def first(self, after=0.0):
        """The time of the first answer since the time given; None if there is none yet."""
        return next((t for t in list(self.answered) if t >= after), None)

    def longest_gap(self, since, until=None):
        """The longest time without an answer from `since` until now."""
        times = [t for t in list(self.answered) if t >= since]
        marks = [since, *times, until or time.monotonic()]
        return max(b - a for a, b in zip(marks, marks[1:]))


def first_answer(lab, host, address, seconds, **kw):
    """Seconds from now to the first answer, None if none came in time."""
    with Pinger(lab, host, address, **kw) as ping:
        end = ping.begin + seconds
        while time.monotonic() < end:
            if ping.answered:
                return ping.answered[0] - ping.begin
            time.sleep(0.005)
    return None


def echo_all(lab, wanted, payload, seconds):
    """Echo requests from each host to all of its addresses, at once and then each second to those that have not answered, until all
    have. `wanted`: {host: addresses}. Fails after so many seconds."""
    sockets, waiting, due = {}, {h: set(a) for h, a in wanted.items()}, 0
    request = struct.pack("!BBHHH", 8, 0, 0, os.getpid() & 0xFFFF, 1) + bytes(payload)
    request = request[:2] + struct.pack("!H", checksum(request)) + request[4:]
    with contextlib.ExitStack() as stack:
        for host in wanted:
            with netns(lab.ns(host)):
                s = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
            s.setblocking(False)
            sockets[s] = host
        end = time.monotonic() + seconds
        while any(waiting.values()) and time.monotonic() < end:
            if time.monotonic() >= due:
                due = time.monotonic() + 1
                for s, host in sockets.items():
                    for address in waiting[host]:
                        s.sendto(request, (address, 0))
            for s in select.select(list(sockets), [], [], 0.02)[0]:
                data, source = s.recvfrom(65536)
                if data[(data[0] & 15) * 4] == 0:
                    waiting[sockets[s]].discard(source[0])
    left = {h: sorted(a) for h, a in waiting.items() if a}
    if left:
        raise AssertionError(f"{sum(map(len, left.values()))} of {sum(map(len, wanted.values()))} did not answer within {seconds} s: "
                             f"{list(left.items())[:3]}")


def busiest(times, seconds=1.0):
    """The most of these instants, in order, within any time of that length."""
    first = most = 0
    for i, t in enumerate(times):
        while t - times[first] >= seconds:
            first += 1
        most = max(most, i + 1 - first)
    return most


class Transfer:
    """One TCP connection from host to host through the overlay, whose bytes are checked on arrival.

    It runs until it is stopped, or has sent `total` bytes, at the rate given; 0: as fast as it goes. It sends one block again and
    again, turned by a byte each time: random ones, unless some are given."""
    CHUNK = 16384

    def __init__(self, lab, source, target, address, mbit=20, port=5201, block=None, total=0):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with netns(lab.ns(target)):
            self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(1)
        with netns(lab.ns(source)):
            self.client = socket.socket(family, socket.SOCK_STREAM)
        # Where BBR is the default, a silence of a second may make it send some hundred bytes a second, for minutes.
        self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        self.client.settimeout(10)
        self.client.connect((address, port))
        self.server, _ = self.listener.accept()
        self.client.settimeout(30)
        self.server.settimeout(30)
        self.mbit, self.total, self.error, self.block = mbit, total, None, block or os.urandom(self.CHUNK)
        self.sent_hash, self.got_hash = hashlib.sha256(), hashlib.sha256()
        self.sent = self.got = 0
        self.arrivals = [time.monotonic()]
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._guard, args=(f,), daemon=True) for f in (self._write, self._read)]

    def __enter__(self):
        for t in self._threads:
            t.start()
        return self

    def __exit__(self, *exc):
        self._ended.set()
        for t in self._threads:
            t.join(35)
        for s in (self.client, self.server, self.listener):
            s.close()

    def _guard(self, step):
        try:
            step()
        except OSError as e:
            self.error = e

    def _write(self):
        block = self.block
        begin = time.monotonic()
        while not self._ended.is_set() and not 0 < self.total <= self.sent:
            self.client.sendall(block)
            self.sent_hash.update(block)
            self.sent += len(block)
            block = block[1:] + block[:1]
            if self.mbit:
                time.sleep(max(0, begin + self.sent * 8 / (self.mbit * 1e6) - time.monotonic()))
                begin = max(begin, time.monotonic() - self.sent * 8 / (self.mbit * 1e6))  # no burst after a stall
        self.client.shutdown(socket.SHUT_WR)

    def _read(self):
        while True:
            data = self.server.recv(65536)
            if not data:
                return
            self.got_hash.update(data)
            self.got += len(data)
            self.arrivals.append(time.monotonic())

    def longest_stall(self, since=0.0):
        marks = [t for t in list(self.arrivals) if t >= since] + [time.monotonic()]
        return max(b - a for a, b in zip([since or marks[0], *marks], marks))

    def complete(self, seconds):
        """Waits until all of `total` has been sent and has arrived, and says whether it is the same."""
        end = time.monotonic() + seconds
        for t in self._threads:
            t.join(max(0, end - time.monotonic()))
        if any(t.is_alive() for t in self._threads):
            raise AssertionError(f"{self.got} of {self.total} bytes after {seconds} s")
        return self.finish()

    def finish(self):
        """Ends the sending, waits for the last byte, and says whether every byte arrived unchanged."""
        self._ended.set()
        for t in self._threads:
            t.join(35)
        if self.error:
            raise AssertionError(f"the TCP connection broke after {self.got} bytes: {self.error}")
        if self.got == 0 or self.sent != self.got or self.sent_hash.digest() != self.got_hash.digest():
            raise AssertionError(f"{self.sent} bytes were sent, {self.got} arrived, or not the same")
        return self.got


class Capture:
    """Every frame that passes an interface of a namespace, kept in memory, in a thread of its own."""

    def __init__(self, namespace, interface):
        with netns(namespace):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind((interface, 3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        self.socket.setsockopt(socket.SOL_SOCKET, 29, 1)  # SO_TIMESTAMP
        self.frames = []  # (outgoing, frame)
        self.times = []   # when the kernel saw each, in the clock of time.time()
        self._ended, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._ended.set()
        self._thread.join()
        self.socket.close()

    def _run(self):
        while not self._ended.is_set():
            if select.select([self.socket], [], [], 0.05)[0]:
                frame, told, _, address = self.socket.recvmsg(65536, 64)
                seconds, us = struct.unpack("@qq", told[0][2][:16])
                self.times.append(seconds + us / 1e6)
                self.frames.append((address[2] == 4, frame))  # PACKET_OUTGOING

    def contains(self, marker):
        return any(marker in frame for _, frame in list(self.frames))

    def udp(self, outgoing=None, source=None):
        """The frames that are UDP over IPv4 without options, as (frame, payload)."""
        for out, frame in list(self.frames):
            if frame[12:14] == b"\x08\0" and frame[14] == 0x45 and frame[23] == 17 and \
                    (outgoing is None or out == outgoing) and \
                    (source is None or socket.inet_ntoa(frame[26:30]) == source):
                yield frame, frame[42:]

    def inject(self, frame):
        """Sends a frame out of the interface, as it is."""
        self.socket.send(frame)


def again(frame, flip=0):
    """The UDP frame to be sent once more, with bits of its last byte flipped.

    Without a UDP checksum (0 says so in IPv4): in a capture it may not have been computed yet."""
    return frame[:40] + b"\0\0" + frame[42:-1] + bytes([frame[-1] ^ flip])
