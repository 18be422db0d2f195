"""Gateways that no real daemon plays: what a script needs of NAT-PMP and UPnP, with the faults it asks for

    with NatPmp(lab, "a", outer="100.64.1.11"), SlowIgd(lab, "c"): ...
Each answers in a thread of this process, on sockets inside a gateway's or host's namespace, until the block ends."""
import contextlib
import select
import socket
import struct
import threading

from natlab import netns

SSDP = ("239.255.255.250", 1900)


class Server:
    def __init__(self, ns):
        self.ns, self._ended, self._thread = ns, threading.Event(), threading.Thread(target=self._run, daemon=True)
        self.sockets = []

    def __enter__(self):
        with netns(self.ns):
            self.open()
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._ended.set()
        self._thread.join()
        for s in self.sockets:
            s.close()

    def _run(self):
        while not self._ended.is_set():
            for s in select.select(self.sockets, [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    self.readable(s)


class NatPmp(Server):
    """Tells the gateway's outer address, and refuses every mapping."""

    def __init__(self, lab, site, outer):
        super().__init__(lab.gw(site))
        self.address, self.outer, self.refused = lab.lans[site][0] + "1", outer, 0

    def open(self):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((self.address, 5351))
        self.sockets.append(s)

    def readable(self, s):
        data, peer = s.recvfrom(2000)
        if data[0] != 0:  # PCP: as RFC 6886 section 3.5 has it
            s.sendto(struct.pack("!BBHI", 0, 128, 1, 1000), peer)
        elif data == b"\0\0":
            s.sendto(struct.pack("!BBHI4s", 0, 128, 0, 1000, socket.inet_aton(self.outer)), peer)
        elif len(data) == 12:
            self.refused += 1
            s.sendto(struct.pack("!BBHIHHI", 0, 128 + data[1], 2, 1000, struct.unpack("!H", data[4:6])[0], 0, 0), peer)


class SlowIgd(Server):
    """Calls itself an IGD at `address`, and once asked for its description gives a byte of it now and then."""

    def __init__(self, lab, ns, address, said_address=None):
        super().__init__(ns)
        self.address, self.said = address, said_address or address
        self.searches, self.connections, self.clients = 0, 0, []

    def open(self):
        ssdp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ssdp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ssdp.bind(("", SSDP[1]))
        ssdp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(SSDP[0]) + socket.inet_aton(self.address))
        http = socket.create_server((self.address, 0))
        self.port = http.getsockname()[1]
        self.sockets += [ssdp, http]

    def readable(self, s):
        if s is self.sockets[0]:
            data, peer = s.recvfrom(2000)
            self.searches += 1
            kind = next(line[3:].strip() for line in data.decode().splitlines() if line.upper().startswith("ST:"))
            s.sendto(f"HTTP/1.1 200 OK\r\nST: {kind}\r\nUSN: uuid:0\r\nLOCATION: http://{self.said}:{self.port}/d.xml\r\n\r\n"
                     .encode(), peer)
        elif s is self.sockets[1]:
            self.clients.append(s.accept()[0])
            self.connections += 1

    def _run(self):
        while not self._ended.is_set():
            for s in select.select(self.sockets, [], [], 0.5)[0]:
                with contextlib.suppress(OSError):
                    self.readable(s)
            for c in self.clients:
                with contextlib.suppress(OSError):
                    c.send(b"H")
        for c in self.clients:
            c.close()
