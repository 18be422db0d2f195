"""The laboratory: built, used, torn down"""
import contextlib
import dataclasses
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time

from .events import Events
from .plan import Plan
from .rules import blackhole_rules, fw_rules, link_rules, nat_rules
from .sites import CORE, Cgn, HERE, PUBLIC, STATE, Site, UPGW, Uplink, V6
from .tools import alive, netns, nft, sh, sysctl


class Lab(Plan, Events):
    def __init__(self, sites=(), cgns=(), coord=None, coord2=None, id=None, keep=False):
        self.sites = {s.name: s for s in sites}
        self.cgns = {c.name: c for c in cgns}
        self.cores = {"coord": coord or Uplink("coord"), "coord2": coord2 or Uplink("coord2")}
        if len(self.sites) != len(sites) or set(self.sites) & set(self.cgns):
            raise ValueError("names must differ")
        for s in sites:
            if s.cgn and s.cgn not in self.cgns:
                raise ValueError(f"{s.name}: there is no CGN {s.cgn}")
        self.id, self.keep, self.procs, self.moved, self.upnp = id, keep, [], {}, {}
        self._pid = os.getpid()

    # -- life

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(self, *exc):
        self.destroy()

    def _write(self):
        os.makedirs(STATE, exist_ok=True)
        d = dict(pid=self._pid, keep=self.keep, procs=self.procs, moved=self.moved,
                 sites=[dataclasses.asdict(s) for s in self.sites.values()],
                 cgns=[dataclasses.asdict(c) for c in self.cgns.values()],
                 cores=[dataclasses.asdict(c) for c in self.cores.values()])
        tmp = f"{STATE}/{self.id}.tmp{os.getpid()}"
        with open(tmp, "w") as f:
            json.dump(d, f)
        return tmp

    def save(self):
        os.rename(self._write(), f"{STATE}/{self.id}.json")

    def _claim(self):
        """Take an id, before anything exists, so that `clean` finds whatever is made."""
        self.id = self.id or "nl" + secrets.token_hex(2)
        tmp = self._write()
        try:
            os.link(tmp, f"{STATE}/{self.id}.json")
            self.plan()
            return True
        except FileExistsError:
            self.id = None  # not ours to destroy
            return False
        finally:
            os.unlink(tmp)

    @classmethod
    def attach(cls, id):
        with open(f"{STATE}/{id}.json") as f:
            d = json.load(f)
        lab = cls([Site(**s) for s in d["sites"]], [Cgn(**c) for c in d["cgns"]],
                  *[Uplink(**c) for c in d["cores"]], id=id, keep=d["keep"])
        lab._pid, lab.procs, lab.moved = d["pid"], d["procs"], d["moved"]
        lab.plan()
        return lab

    def build(self):
        if os.geteuid():
            raise PermissionError("natlab needs root")
        wanted = self.id
        if wanted and not re.fullmatch(r"nl[0-9a-z]{1,6}", wanted):
            raise ValueError("an id is nl and 1 to 6 letters or digits")
        while not self._claim():
            if wanted:
                raise ValueError(f"there is a lab {wanted} already")
        every = self.namespaces()
        sh("ip", "-batch", "-", input="".join(f"netns add {n}\n" for n in every))
        for n in every:
            sysctl(n, ipv4__conf__all__rp_filter=0, ipv4__conf__default__rp_filter=0,
                   ipv6__conf__all__accept_dad=0, ipv6__conf__default__accept_dad=0,
                   ipv6__conf__all__accept_ra=0, ipv6__conf__default__accept_ra=0,
                   ipv6__conf__default__router_solicitations=0)
        routers = [n for n in every if n.endswith("-gw")] + [self.ns("inet")]
        for n in routers:
            sysctl(n, ipv4__ip_forward=1, ipv6__conf__all__forwarding=1,
                   **{"bridge__bridge-nf-call-iptables": 0, "bridge__bridge-nf-call-ip6tables": 0,
                      "ipv4__icmp_ratelimit": 0, "ipv6__icmp__ratelimit": 0})
        self.batch = {n: ["link set lo up"] for n in every}
        self.batch[self.ns("inet")] += [f"address add {CORE}1/32 dev lo",
                                        f"address add {V6}ffff::1/128 dev lo",
                                        "route add blackhole default",
                                        "route add blackhole ::/0"]
        root = []
        for link in self.links.values():
            self._plumb(link, root)
        for s in self.sites.values():
            if s.kind not in PUBLIC:
                self._lan(s, root)
        sh("ip", "-batch", "-", input="".join(c + "\n" for c in root))
        for n, cmds in self.batch.items():
            sh("ip", "-netns", n, "-batch", "-", input="".join(c + "\n" for c in cmds))
        for link in self.links.values():
            self._shape(link)
        for b in [*self.sites.values(), *self.cgns.values()]:
            self._rules(b)
        self.check_isolated()
        self.save()

    def _plumb(self, link, root):
        o, up, down = link.opts, self.batch[link.up_ns], self.batch[link.ns]
        if o.delay or o.jitter:
            p = subprocess.Popen([sys.executable, HERE, "_delay", link.up_ns,
                                  link.up_if, link.ns, link.dev, str(o.delay), str(o.jitter),
                                  "0" if self.keep else str(os.getpid())],
                                 stdout=subprocess.PIPE, start_new_session=self.keep)
            self.procs.append(p.pid)
            if p.stdout.readline() != b"ok\n":
                raise RuntimeError("the delay process did not start")
        else:
            root.append(f"link add name {link.up_if} netns {link.up_ns} type veth "
                        f"peer name {link.dev} netns {link.ns}")
        up += [f"link set dev {link.up_if} mtu {o.mtu} up",
               f"address add {UPGW}/32 dev {link.up_if} scope link",
               f"address add fe80::1/64 dev {link.up_if} nodad"] + self._up_routes(link)
        down += [f"link set {link.dev} mtu {o.mtu} up"]
        down += [f"address add {a}/32 dev {link.dev}" for a in link.v4]
        down += [f"address add fe80::2/64 dev {link.dev} nodad"]
        down += [f"address add {a}/128 dev {link.dev} nodad" for a in link.v6]
        down += self._down_routes(link)

    def _up_routes(self, link):
        src = f" src {CORE}1" if link.up_ns == self.ns("inet") else ""
        return [f"route replace {a}/32 dev {link.up_if}{src}" for a in link.v4] + \
            [f"route replace {a} via fe80::2 dev {link.up_if}" for a in link.v6 + link.v6net]

    def _down_routes(self, link):
        out = []
        if link.v4:
            out += [f"route replace default via {UPGW} dev {link.dev} onlink src {link.v4[0]}"]
        if link.v6 or link.v6net:
            out += [f"route replace ::/0 via fe80::1 dev {link.dev}"]
        return out

    def _lan(self, s, root):
        base, bits, six = self.lans[s.name]
        gw = self.batch[self.gw(s.name)]
        gw += ["link add lan type bridge mcast_snooping 0"]
        if base and not s.v6only:
            gw += [f"address add {base}1/{bits} broadcast + dev lan"]
        if six:
            gw += [f"address add {six}1/64 dev lan nodad"]
        for h in range(1, s.hosts + 1):
            host = f"{s.name}{h}"
            root.append(f"link add h{h} netns {self.gw(s.name)} type veth "
                        f"peer name eth0 netns {self.ns(host)}")
            gw += [f"link set h{h} master lan up"]
            self.batch[self.ns(host)] += self._host_cmds(host, s.name)
        gw += ["link set lan up"]

    def _host_cmds(self, host, site):
        base, bits, six = self.lans[site]
        out = ["link set eth0 up"]
        if self.addr4[host]:
            out += [f"address replace {self.addr4[host]}/{bits} broadcast + dev eth0",
                    f"route replace default via {base}1"]
        if self.addr6[host]:
            out += [f"address replace {self.addr6[host]}/64 dev eth0 nodad",
                    f"route replace ::/0 via {six}1 dev eth0"]
        return out

    def _shape(self, link, again=False):
        o = link.opts
        for ns, dev in ((link.up_ns, link.up_if), (link.ns, link.dev)):
            if again:
                sh("tc", "-netns", ns, "qdisc", "del", "dev", dev, "root", check=False)
                sh("ip", "-netns", ns, "link", "set", "dev", dev, "mtu", str(o.mtu))
            if o.rate:
                num, unit = re.fullmatch(r"([\d.]+)([kmg]?)bit", o.rate).groups()
                bits = float(num) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[unit]
                sh("tc", "-netns", ns, "qdisc", "add", "dev", dev, "root", "tbf", "rate", o.rate,
                   "burst", str(max(32768, int(bits / 800))), "latency", "50ms")
        if again or o.loss or o.blackhole or o.nofrag or o.cut or o.block4 or o.block6:
            nft(link.up_ns, link_rules(link))
            lines = "".join(r + "\n" for r in blackhole_rules(o.mtu)) if o.blackhole else ""
            nft(link.ns, "table inet nl_out\ndelete table inet nl_out\ntable inet nl_out { chain o "
                "{ type filter hook output priority -10; policy accept;\n" + lines + "}\n}\n")

    def _rules(self, box):
        if box.kind in PUBLIC:
            if box.kind == "openfw":
                for h in range(1, box.hosts + 1):
                    nft(self.ns(f"{box.name}{h}"), fw_rules("inet"))
            return
        gw, pub = self.gw(box.name), self.pub[box.name]
        if pub:
            nft(gw, nat_rules(box, pub, self.addr4.get(box.name + "1", "")))
        if getattr(box, "hostfw", False):
            for h in range(1, box.hosts + 1):
                nft(self.ns(f"{box.name}{h}"), fw_rules("inet"))
        if getattr(box, "v6", ""):
            # With miniupnpd, the firewall is where its pinholes are (start_miniupnpd).
            nft(gw, fw_rules("ip6", box.v6 == "open" or getattr(box, "upnp", False)))
        if box.udp_timeout or box.udp_stream:
            t = box.udp_timeout or 30
            sysctl(gw, netfilter__nf_conntrack_udp_timeout=t,
                   netfilter__nf_conntrack_udp_timeout_stream=box.udp_stream or t)
        if getattr(box, "upnp", False):
            self._miniupnpd(box)

    def _miniupnpd(self, s):
        if not (os.environ.get("MINIUPNPD") or shutil.which("miniupnpd")):
            raise RuntimeError("upnp: no miniupnpd (Debian: miniupnpd-nftables), or set $MINIUPNPD")
        gw, conf = self.gw(s.name), f"{STATE}/{self.id}-{s.name}.upnp"
        base, bits, _ = self.lans[s.name]
        speaks = s.maps.split("+")
        with open(conf, "w") as f:
            f.write(f"""ext_ifname=wan
listening_ip=lan
http_port=0
enable_natpmp={"yes" if {"pcp", "natpmp"} & set(speaks) else "no"}
enable_upnp={"yes" if "igd" in speaks else "no"}
secure_mode=no
system_uptime=yes
min_lifetime=10
max_lifetime=86400
notify_interval=900
uuid=00000000-0000-4000-8000-{secrets.token_hex(6)}
serial=1
model_number=1
upnp_table_name=natlab_upnp
upnp_nat_table_name=natlab_upnp
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
allow 1024-65535 {base}0/{bits} 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
""")
        # miniupnpd cannot be told to speak one of the two that share a port: their first byte is the version.
        for name, version in (("pcp", 2), ("natpmp", 0)):
            if name not in speaks:
                nft(gw, f"""table inet natlab_upnp_{name} {{ chain c {{ type filter hook prerouting priority -350;
                    iifname "lan" udp dport 5351 @th,64,8 {version} drop; }}\n}}\n""")
        self.start_miniupnpd(s.name)

    def start_miniupnpd(self, name):
        """Also again: with the rules of a gateway that has just booted."""
        gw, files = self.gw(name), f"{STATE}/{self.id}-{name}.upnp"
        firewall = 'meta nfproto ipv6 iifname "wan" ct state new drop;' if self.sites[name].v6 == "fw" else ""
        # A verdict "drop" of natlab's own forward chain would be final, but it lets DNATed
        # packets through, so miniupnpd's accept chain is a formality.
        nft(gw, f"""table inet natlab_upnp
delete table inet natlab_upnp
table inet natlab_upnp {{
  chain forward {{ type filter hook forward priority -5; policy accept; jump miniupnpd; {firewall} }}
""" + """  chain miniupnpd { }
  chain prerouting { type nat hook prerouting priority -105; policy accept; iifname "wan" jump prerouting_miniupnpd; }
  chain prerouting_miniupnpd { }
  chain postrouting { type nat hook postrouting priority 95; policy accept; oifname "wan" jump postrouting_miniupnpd; }
  chain postrouting_miniupnpd { }
}""", check=False)
        exe = os.environ.get("MINIUPNPD") or shutil.which("miniupnpd")
        with open(files + "log", "ab") as log:
            p = subprocess.Popen(["ip", "netns", "exec", gw, exe, "-d", "-f", files, "-P", files + "pid"],
                                 stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.upnp[name] = p
        self.procs.append(p.pid)

    def stop_miniupnpd(self, name):
        p = self.upnp.pop(name)
        p.kill()
        p.wait()

    def check_isolated(self):
        """No namespace of the lab has a device whose other end is outside the lab."""
        ours = set(self.namespaces())
        for n in ours:
            for line in sh("ip", "-netns", n, "-o", "link").splitlines():
                peer = re.search(r"link-netns (\S+)", line)
                m = re.match(r"\d+: ([^:@]+)(@\S+)?:", line)
                if m[2] and (not peer or peer[1] not in ours):
                    raise RuntimeError(f"{n}: {line}: leads out of the lab")

    def pids(self):
        ours = set()
        for n in self.namespaces():
            with contextlib.suppress(OSError):
                ours.add(os.stat("/run/netns/" + n).st_ino)
        safe, p = {os.getpid()}, os.getpid()
        while p > 1:  # never our own ancestors
            with open(f"/proc/{p}/stat") as f:
                p = int(f.read().rsplit(")", 1)[1].split()[1])
            safe.add(p)
        for d in os.listdir("/proc"):
            if d.isdigit() and int(d) not in safe:
                with contextlib.suppress(OSError):
                    if os.stat(f"/proc/{d}/ns/net").st_ino in ours:
                        yield int(d)

    def destroy(self):
        if not self.id:
            return
        if not hasattr(self, "links"):
            self.plan()
        for sig, grace in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 1.0)):
            left = [p for p in set(self.pids()) if alive(p)]
            for p in left:
                with contextlib.suppress(OSError):
                    os.kill(p, sig)
            end = time.monotonic() + grace
            while any(map(alive, left)) and time.monotonic() < end:
                time.sleep(0.02)
        for n in self.namespaces():
            if os.path.exists("/run/netns/" + n):
                sh("ip", "netns", "del", n, check=False)
        with contextlib.suppress(FileNotFoundError):
            for f in os.listdir(STATE):
                if f.split(".")[0].split("-")[0] == self.id:
                    os.unlink(f"{STATE}/{f}")
        self.id = None

    # -- use

    def argv(self, host, argv):
        return ["ip", "netns", "exec", self.ns(host), *argv]

    def popen(self, host, argv, **kw):
        return subprocess.Popen(self.argv(host, argv), **kw)

    def run(self, host, argv, **kw):
        return subprocess.run(self.argv(host, argv), **kw)

    def socket(self, host, family=socket.AF_INET, type=socket.SOCK_DGRAM):
        with netns(self.ns(host)):
            s = socket.socket(family, type)
        s.setblocking(False)
        return s

    def udp(self, host, port=0, addr=None, v6=False):
        s = self.socket(host, socket.AF_INET6 if v6 else socket.AF_INET)
        s.bind((addr or ("::" if v6 else "0.0.0.0"), port))
        return s


def labs():
    with contextlib.suppress(FileNotFoundError):
        return sorted(f[:-5] for f in os.listdir(STATE) if f.endswith(".json"))
    return []


def owned(id):
    """Somebody still wants this lab."""
    with open(f"{STATE}/{id}.json") as f:
        d = json.load(f)
    return d["keep"] or alive(d["pid"])


def clean(every):
    for id in labs():
        if every or not owned(id):
            Lab.attach(id).destroy()
            print("removed", id)
    if every:  # namespaces whose state file was lost
        for n in re.findall(r"^nl[0-9a-z]{1,6}-\S+", sh("ip", "netns", "list"), re.M):
            sh("ip", "netns", "del", n, check=False)
