"""Every name and address of a lab, without touching anything"""
from .sites import CORE, EXTRA, HERE, Link, PUB, PUBLIC, UPNP, V6


class Plan:
    def ns(self, name):
        return f"{self.id}-{name}"

    def gw(self, site):
        return self.ns(site + "-gw")

    def plan(self):
        self.links, self.addr4, self.addr6, self.pub, self.lans = {}, {}, {}, {}, {}
        inet = self.ns("inet")
        for n, (name, up) in enumerate(self.cores.items()):
            v4 = [f"{CORE}{10 + 10 * n + i}" for i in (0, 1)]
            v6 = [f"{V6}ffff::{10 + 10 * n + i}" for i in (0, 1)]
            self.links[name] = Link(inet, name, self.ns(name), "eth0", v4, v6, [], up)
            self.addr4[name], self.addr6[name] = v4[0], v6[0]
        for k, c in enumerate(self.cgns.values(), 1):
            self.pub[c.name] = c.addr or f"{PUB}{200 + k}"
            self.links[c.name] = Link(inet, c.name, self.gw(c.name), "wan",
                                      [self.pub[c.name]], [], [], c)
        for i, s in enumerate(self.sites.values(), 1):
            hosts = [f"{s.name}{h}" for h in range(1, s.hosts + 1)]
            if s.kind in PUBLIC:
                for h, host in enumerate(hosts, 1):
                    a = (s.addr or f"{PUB}{10 + i}") if h == 1 else f"{EXTRA}{8 * i + h}"
                    v4 = [] if s.v6only else [a]
                    v6 = [f"{V6}{i:x}::{1 + h:x}"] if s.v6 else []
                    self.links[host] = Link(inet, host, self.ns(host), "eth0", v4, v6, [], s)
                    self._host(host, v4, v6)
                self.pub[s.name] = self.addr4.get(hosts[0], "")
                continue
            # miniupnpd refuses to serve with a documentation address
            up, a = inet, f"{UPNP if s.upnp else PUB}{10 + i}"
            if s.cgn:
                up = self.gw(s.cgn)
                a = f"100.64.{list(self.cgns).index(s.cgn) + 1}.{10 + i}"
            self.pub[s.name] = "" if s.v6only else s.addr or a
            net6 = [f"{V6}{i:x}::/64"] if s.v6 else []
            if s.cgn:  # IPv6 is routed through a CGN, not translated
                self.links[s.cgn].v6net += net6
            self.links[s.name] = Link(up, s.name, self.gw(s.name), "wan",
                                      [] if s.v6only else [self.pub[s.name]], [], net6, s)
            lan = (s.lan or f"192.168.{i}.0/24").split("/")
            base = lan[0].rsplit(".", 1)[0] + "."
            self.lans[s.name] = (base, lan[1], f"{V6}{i:x}::" if s.v6 else "")
            for h, host in enumerate(hosts, 1):
                self._host(host, [] if s.v6only else [f"{base}{1 + h}"],
                           [f"{V6}{i:x}::{1 + h:x}"] if s.v6 else [])
        for host, site in self.moved.items():
            base, _, six = self.lans[site]
            h = 100 + list(self.addr4).index(host) % 100
            self._host(host, [f"{base}{h}"], [f"{six}{h:x}"] if six else [])

    def _host(self, host, v4, v6):
        self.addr4[host], self.addr6[host] = v4[0] if v4 else "", v6[0] if v6 else ""

    def site_of(self, host):
        return self.moved.get(host) or host.rstrip("0123456789")

    def hosts(self):
        return [f"{s.name}{h}" for s in self.sites.values() for h in range(1, s.hosts + 1)]

    def namespaces(self):
        boxes = [n for n, s in self.sites.items() if s.kind not in PUBLIC] + list(self.cgns)
        return [self.ns("inet")] + [self.ns(c) for c in self.cores] + \
            [self.gw(b) for b in boxes] + [self.ns(h) for h in self.hosts()]

    def ip(self, host):
        return self.addr4[host]

    def ip6(self, host):
        return self.addr6[host]

    def env(self):
        e = {"NL_ID": self.id, "NATLAB": HERE, "NS_INET": self.ns("inet"),
             "IP_COORD_ALT": self.links["coord"].v4[1], "IP6_COORD_ALT": self.links["coord"].v6[1]}
        for h in list(self.cores) + self.hosts():
            e["NS_" + h.upper()] = self.ns(h)
            e["IP_" + h.upper()], e["IP6_" + h.upper()] = self.addr4[h], self.addr6[h]
        for b in [*self.sites, *self.cgns]:
            e["PUB_" + b.upper()] = self.pub[b]
            if b in self.cgns or self.sites[b].kind not in PUBLIC:
                e[f"NS_{b.upper()}_GW"] = self.gw(b)
        return e
