"""Shows that each kind of NAT behaves as its name says"""
import contextlib
import errno
import os
import secrets
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

from .lab import Lab, clean, labs, owned
from .probe import EXPECT, Probe, punch, recv, send
from .sites import Cgn, EIM, HERE, KINDS, PUBLIC, Site
from .tools import sh


class Selftest:
    def __init__(self, pattern=""):
        self.pattern, self.bad, self.count = pattern, 0, 0

    def check(self, what, got, want):
        ok = got == want
        self.count += 1
        self.bad += not ok
        print(f"  {'ok  ' if ok else 'FAIL'} {what}: {got}" + ("" if ok else f" (want {want})"),
              flush=True)
        return ok

    def run(self):
        begin = time.monotonic()
        for name in [n for n in dir(self) if n.startswith("t_") and self.pattern in n]:
            print(f"{name[2:]}: {(getattr(self, name).__doc__ or '').strip()}", flush=True)
            getattr(self, name)()
        print(f"{self.count - self.bad} of {self.count} checks passed "
              f"in {time.monotonic() - begin:.1f} s")
        return 1 if self.bad else 0

    def t_kinds(self):
        """each kind: mapping, filtering, port preservation, hairpin, TCP"""
        names = dict(zip(KINDS, ("open", "openfw", "one", "full", "addr", "port", "portnp", "symaddr",
                                 "symseq", "symrand", "blocked", "tls")))
        lone = (*PUBLIC, "one2one")
        sites = [Site(n, k, hosts=1 if k in lone else 2) for k, n in names.items()]
        t0 = time.monotonic()
        with Lab(sites) as lab:
            print(f"  built {len(lab.namespaces())} namespaces in {time.monotonic() - t0:.1f} s")
            pr = Probe(lab)
            for k, n in names.items():
                h = n + "1"
                mapping, m = pr.mapping(h)
                ports = [v[1] if v else None for v in m.values()]
                got = (mapping, pr.filtering(h), pr.preserves(h))
                self.check(f"{k:10} mapping/filtering/preserves (ports {ports})", got, EXPECT[k])
                if k == "symseq":
                    self.check("           port deltas", {b - a for a, b in zip(ports, ports[1:])}, {1})
                if k not in PUBLIC:
                    tcp = pr.tcp(h, 443), pr.tcp(h, 8000)
                    self.check(f"{k:10} TCP out to 443, 8000", tcp, (True, k != "tcp443"))
                if k in EIM:
                    self.check(f"{k:10} hairpin off", pr.hairpin(h, n + "2"), (False, False))
                if mapping != "none" and k not in lone:
                    with lab.udp(n + "1", 5000) as a, lab.udp(n + "2", 5000) as b:
                        pa, pb = ({x and x[1] for x in (pr.mapped(s), pr.mapped(s, (0, 3479)))}
                                  for s in (a, b))
                        print(f"       same local port 5000 on two hosts -> ports {pa}, {pb}")

    def t_hairpin(self):
        """EIM kinds with hairpin: loops, and the source is translated"""
        with Lab([Site(c * 2, k, hosts=2, hairpin=True) for c, k in zip("abcd", EIM)]) as lab:
            pr = Probe(lab)
            for s in lab.sites.values():
                h = s.name + "1"
                self.check(f"{s.kind:8} two hosts", pr.hairpin(h, s.name + "2"), (True, True))
                self.check(f"{s.kind:8} one host", pr.hairpin(h), (True, True))
                got = pr.mapping(h)[0], pr.filtering(h), pr.preserves(h)
                self.check(f"{s.kind:8} otherwise unchanged", got, EXPECT[s.kind])

    def t_cgn(self):
        """double NAT: composed behaviour; punching between two sites of one CGN"""
        for hair in (False, True):
            cg = [Cgn("isp", "fullcone", hairpin=hair, isolate=True), Cgn("mob", "symrand")]
            with Lab([Site("a", "port", cgn="isp"), Site("b", "fullcone", cgn="isp"),
                      Site("c", "port", cgn="mob")], cg) as lab:
                pr = Probe(lab)
                if not hair:
                    self.check("port behind fullcone", (pr.mapping("a1")[0], pr.filtering("a1")),
                               ("EIM", "APDF"))
                    self.check("fullcone behind fullcone",
                               (pr.mapping("b1")[0], pr.filtering("b1")), ("EIM", "EIF"))
                    self.check("port behind symrand", (pr.mapping("c1")[0], pr.filtering("c1")),
                               ("APDM", "APDF"))
                    self.check("public address is the CGN's",
                               pr.mapping("a1")[1][0, 3478][0], lab.pub["isp"])
                self.check(f"a<->b behind one CGN, hairpin={hair}", punch(lab, pr, "a1", "b1"), hair)

    def t_hostfw(self):
        """host firewall behind a full cone: filtering becomes APDF"""
        with Lab([Site("a", "fullcone", hostfw=True), Site("b", "one2one", hostfw=True)]) as lab:
            pr = Probe(lab)
            for h in ("a1", "b1"):
                self.check(lab.sites[h[0]].kind, (pr.mapping(h)[0], pr.filtering(h)), ("EIM", "APDF"))

    def t_lan(self):
        """same LAN: hosts see each other directly; equal subnets at two sites"""
        with Lab([Site("a", "symrand", hosts=2, lan="192.168.1.0/24"),
                  Site("b", "symrand", lan="192.168.1.0/24")]) as lab:
            self.check("same private address", lab.ip("a1"), lab.ip("b1"))
            with lab.udp("a1", 7000) as s, lab.udp("a2", 7000) as t:
                send(s, b"lan", (lab.ip("a2"), 7000))
                self.check("a1 -> a2", recv(t, b"lan"), (lab.ip("a1"), 7000))
                t.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                send(t, b"bcast", ("192.168.1.255", 7000))
                self.check("broadcast", recv(s, b"bcast"), (lab.ip("a2"), 7000))

    def t_v6(self):
        """IPv6: firewalled, open, v6only, dual-stack open host"""
        with Lab([Site("a", "symrand", v6="fw"), Site("b", "port", v6="open"),
                  Site("c", "port", v6only=True), Site("d", "openfw", v6="fw"),
                  Site("e", "open", v6only=True), Site("f", "port", v6="fw", cgn="isp", delay=1)],
                 [Cgn("isp", "symrand")]) as lab:
            pr = Probe(lab, v6=True)
            for h, f in (("a1", "APDF"), ("b1", "EIF"), ("c1", "APDF"), ("d1", "APDF"), ("e1", "EIF"),
                         ("f1", "APDF")):
                got = pr.mapping(h)[0], pr.filtering(h), pr.preserves(h)
                self.check(f"{h} v6", got, ("EIM", f, True))
            self.check("c1 has no v4", Probe(lab).mapping("c1")[0], "none")
            self.check("a1<->c1 punched over v6", punch(lab, pr, "a1", "c1"), True)

    def t_options(self):
        """mapping life, loss, rate, delay, MTU, black hole, fragments, cut, input=accept"""
        with Lab([Site("a", "port", udp_timeout=1), Site("b", "fullcone", udp_timeout=1),
                  Site("c", "port", loss=50), Site("d", "port", rate="8mbit"),
                  Site("e", "port", delay=30), Site("f", "port", mtu=1280),
                  Site("g", "port", mtu=1280, blackhole=True), Site("h", "port", nofrag=True),
                  Site("i", "port", input="accept"), Site("j", "port"),
                  Site("k", "port", input="reject"), Site("l", "udpblocked", reject=True)]) as lab:
            pr, c = Probe(lab), (0, 3478)
            life = {n: lab.udp(n) for n in ("a1", "b1", "j1")}
            maps = {n: pr.mapped(s) for n, s in life.items()}
            self.check("reply at once", [pr.reply(s, c, maps[n]) for n, s in life.items()], [True] * 3)
            t0 = time.monotonic()

            with lab.udp("c1") as s:
                got = 0
                for i in range(400):
                    send(s, b"loss", pr.addr(c))
                while recv(pr.srv[c], b"loss", 0.05):
                    got += 1
                self.check(f"loss=50: {got} of 400 arrived", 150 < got < 250, True)
            with lab.udp("d1") as s:
                t, got = time.monotonic(), 0
                while time.monotonic() < t + 0.5:
                    send(s, b"rate" + bytes(1200), pr.addr(c))
                    while recv(pr.srv[c], b"rate", 0.0005):
                        got += 1242
                mbit = got * 8 / 0.5 / 1e6
                self.check(f"rate=8mbit: {mbit:.1f} Mbit/s", 6 < mbit < 9.5, True)
            with lab.udp("e1") as s:
                pr.mapped(s)
                t = time.monotonic()
                m = pr.mapped(s)
                pr.reply(s, c, m)
                ms = (time.monotonic() - t) * 1e3
                self.check(f"delay=30: RTT {ms:.1f} ms", 60 <= ms < 90, True)
            for h, name, first in (("f1", "mtu=1280", errno.EMSGSIZE), ("g1", "blackhole", 0)):
                with lab.udp(h) as s:
                    s.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, DO
                    m = pr.mapped(s)
                    send(s, bytes(1372), pr.addr(c))
                    time.sleep(0.05)
                    self.check(f"{name}: DF 1400 out, second send", send(s, bytes(1372), pr.addr(c)), first)
                    self.check(f"{name}: DF 1280 passes", bool(
                        send(s, b"fits" + bytes(1248), pr.addr(c)) == 0 and recv(pr.srv[c], b"fits")), True)
                    pr.srv[c].setsockopt(socket.IPPROTO_IP, 10, 2)
                    send(pr.srv[c], b"in" + bytes(1370), m)
                    time.sleep(0.05)
                    e = send(pr.srv[c], b"in" + bytes(1370), m)
                    self.check(f"{name}: DF 1400 in, second send", e, first)
            with lab.udp("l1") as s:
                s.connect(pr.addr(c))
                s.send(b"x")
                time.sleep(0.05)
                self.check("udpblocked,reject: error", s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
                           errno.EHOSTUNREACH)
            with lab.udp("h1") as s, lab.udp("j1") as t:
                for x, want in ((t, True), (s, False)):
                    send(x, b"frag" + bytes(3000), pr.addr(c))
                    self.check(f"fragments pass, nofrag={not want}",
                               recv(pr.srv[c], b"frag", 0.1) is not None, want)
            with lab.udp("j1") as s:
                for k in ("block4", "block6"):
                    lab.set("j", **{k: True})
                    self.check(k, pr.mapped(s, wait=0.1) is not None, k == "block6")
                    lab.set("j", **{k: False})
                lab.cut("j")
                self.check("cut", pr.mapped(s, wait=0.1), None)
                lab.uncut("j")
                self.check("uncut", pr.mapped(s) is not None, True)
                lab.carrier("j1", False)
                self.check("carrier down", send(s, b"x", pr.addr(c)), errno.ENETUNREACH)
                lab.carrier("j1", True)
                self.check("carrier up", pr.mapped(s) is not None, True)
            for h, want in (("j1", True), ("i1", False), ("k1", True)):
                # an early packet of the peer reaches the gateway before we punch
                with lab.udp(h) as s:
                    m = pr.mapped(s)
                    send(pr.srv[1, 3479], b"early", m)
                    time.sleep(0.05)
                    self.check(f"{h} early punch, then same mapping "
                               f"(input={lab.sites[h[0]].input})", pr.mapped(s, (1, 3479)) == m, want)
            time.sleep(max(0, t0 + 2.2 - time.monotonic()))
            self.check("after 2.2 s: udp_timeout=1, 1, default",
                       [pr.reply(s, c, maps[n]) for n, s in life.items()], [False, False, True])

    def t_rebind(self):
        """NAT reboot, new public address, roaming"""
        with Lab([Site("a", "portnp"), Site("b", "port"), Site("c", "fullcone")]) as lab:
            pr = Probe(lab)
            for n in "abc":
                with lab.udp(n + "1") as s:
                    old = pr.mapped(s)
                    lab.rebind(n)
                    self.check(f"{lab.sites[n].kind}: mapping gone", pr.reply(s, (0, 3478), old), False)
                    new = pr.mapped(s)
                    self.check(f"{lab.sites[n].kind}: same mapping after reboot", old == new, n != "a")
                    lab.rebind(n, f"203.0.113.{150 + ord(n) % 10}")
                    new = pr.mapped(s)
                    self.check(f"{lab.sites[n].kind}: new address", new and new[0], lab.pub[n])
                    self.check(f"{lab.sites[n].kind}: answers come", pr.reply(s, (0, 3478), new), True)
            with lab.udp("b1") as s:
                lab.roam("b1", "c")
                m = pr.mapped(s)
                self.check("roamed b1 to c", m and m[0], lab.pub["c"])
                again = Lab.attach(lab.id)
                self.check("attach sees it", again.ip("b1"), lab.ip("b1"))

    def t_upnp(self):
        """NAT-PMP and PCP with the real miniupnpd, if there is one"""
        if not (os.environ.get("MINIUPNPD") or shutil.which("miniupnpd")):
            print("  skipped: no miniupnpd")
            return
        with Lab([Site("a", "symrand", upnp=True)]) as lab:
            pr = Probe(lab)

            def ask(s, request, length):
                s.connect(("192.168.1.1", 5351))
                for _ in range(20):
                    send_ok = not s.send(request) < 0
                    if send_ok and select.select([s], [], [], 0.1)[0]:
                        with contextlib.suppress(OSError):
                            return s.recv(2000)[:length]
                    time.sleep(0.05)
                return bytes(length)
            with lab.udp("a1") as s:
                r = ask(s, bytes(2), 12)
                self.check("NAT-PMP public address", socket.inet_ntoa(r[8:12]), lab.pub["a"])
            for port, name in ((5555, "NAT-PMP"), (5556, "PCP")):
                with lab.udp("a1") as s, lab.udp("a1", port) as t:
                    if name == "PCP":
                        me = b"\0" * 10 + b"\xff\xff" + socket.inet_aton(lab.ip("a1"))
                        r = ask(s, struct.pack("!BBHI16s", 2, 1, 0, 120, me) + secrets.token_bytes(12)
                                + struct.pack("!B3xHH16s", 17, port, port, bytes(10) + b"\xff\xff" + bytes(4)), 60)
                        got = struct.unpack("!H", r[42:44])[0]
                    else:
                        r = ask(s, struct.pack("!BBHHHI", 0, 1, 0, port, port, 120), 16)
                        got = struct.unpack("!H", r[10:12])[0]
                    self.check(f"{name}: symmetric NAT opened at", got, port)
                    self.check(f"{name}: anybody gets in",
                               pr.reply(t, (1, 3479), (lab.pub["a"], port)), True)

    def t_life(self):
        """processes are killed, namespaces vanish, the root namespace is untouched"""
        before = sh("ip", "-o", "link")
        with Lab([Site("a", "port", delay=1)]) as lab:
            mid, id = sh("ip", "-o", "link"), lab.id
            p = lab.popen("a1", ["sleep", "1000"])
            out = lab.run("a1", ["ping", "-c1", "-W1", lab.ip("coord")], stdout=subprocess.PIPE)
            self.check("ping", out.returncode, 0)
            r = lab.run("inet", ["ip", "route", "get", "1.1.1.1"], stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL)
            self.check("inet has no way out", r.returncode != 0, True)
        self.check("root namespace links", (mid == before, sh("ip", "-o", "link") == before), (True, True))
        self.check("process ended", p.wait(2) in (-15, -9), True)
        self.check("namespaces left", id in sh("ip", "netns", "list"), False)
        q = subprocess.Popen([sys.executable, HERE, "run", "--site", "a=port", "--", "sleep", "100"],
                             start_new_session=True)
        time.sleep(1.5)
        os.killpg(q.pid, signal.SIGKILL)
        q.wait()
        stale = [i for i in labs() if not owned(i)]
        self.check("a killed run leaves a stale lab", len(stale) >= 1, True)
        clean(False)
        self.check("clean removes it", [i for i in stale if i in sh("ip", "netns", "list")], [])
