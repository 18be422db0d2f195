"""What happens to a lab while it runs"""
import random
import re
import time

from .rules import mute_rules, nat_rules
from .sites import PUBLIC, Uplink
from .tools import netns, nft, sh


class Events:
    def _box(self, name):
        return self.sites.get(name) or self.cgns[name]

    def rebind(self, name, addr=None):
        """NAT reboot: forget every mapping; with addr, also change the public address."""
        box, link, old = self._box(name), self.links[name], self.pub[name]
        gw = link.ns
        if addr and addr != old:
            box.addr = addr
            self.plan()
            link = self.links[name]
            up = [f"route del {old}/32 dev {link.up_if}"] + self._up_routes(link)
            down = [f"address add {addr}/32 dev wan"] + self._down_routes(link) + \
                [f"address del {old}/32 dev wan"]
            sh("ip", "-netns", link.up_ns, "-batch", "-", input="\n".join(up) + "\n")
            sh("ip", "-netns", gw, "-batch", "-", input="\n".join(down) + "\n")
            nft(gw, nat_rules(box, addr, self.addr4.get(name + "1", "")))
            self.save()
        elif box.kind not in PUBLIC:
            nft(gw, "flush map ip natlab eim\nflush set ip natlab perm\n")
        # A flow that is flushed while another of the same inside port is still there would get its mapping again: a box
        # that reboots passes nothing.
        halt = "table inet nl_reboot { chain c { type filter hook prerouting priority -400; policy drop; }\n}\n"
        with netns(gw):
            if box.kind not in PUBLIC:
                nft(gw, halt)
            sh("conntrack", "-F", check=False)
            if box.kind not in PUBLIC:
                nft(gw, "delete table inet nl_reboot")

    def rekind(self, name, kind):
        """The box behaves otherwise from now on; what it knows of flows it keeps."""
        box = self._box(name)
        box.kind = kind
        type(box).__post_init__(box)
        nft(self.links[name].ns, nat_rules(box, self.pub[name], self.addr4.get(name + "1", "")))
        self.save()

    def set(self, name, **kw):
        link = self.links[name]
        if "delay" in kw or "jitter" in kw:
            raise ValueError("delay is fixed when the lab is built")
        for k, v in kw.items():
            if not hasattr(Uplink("x"), k):
                raise ValueError(f"not a link property: {k}")
            setattr(link.opts, k, v)
        self._shape(link, again=True)
        self.save()

    def mute(self, inside):
        """From now on every ICMP error and every fragment is dropped wherever it arrives, but for the interfaces named `inside`."""
        for ns in self.namespaces():
            nft(ns, mute_rules(inside))

    def fragments(self):
        """Fragments that arrived anywhere since mute()."""
        listed = (sh("ip", "netns", "exec", ns, "nft", "list", "counters", "table", "inet", "nl_mute") for ns in self.namespaces())
        return sum(int(n) for text in listed for n in re.findall(r"packets (\d+)", text))

    def cut(self, name):
        self.set(name, cut=True)

    def uncut(self, name):
        self.set(name, cut=False)

    def carrier(self, host, up):
        ns = self.ns(host)
        if not up:
            sh("ip", "-netns", ns, "link", "set", "eth0", "down")
        elif host in self.links:
            link = self.links[host]
            sh("ip", "-netns", ns, "-batch", "-", input="".join(c + "\n" for c in [
                "link set eth0 up", *self._down_routes(link)]))
        else:
            sh("ip", "-netns", ns, "-batch", "-", input="".join(
                c + "\n" for c in self._host_cmds(host, self.site_of(host))))

    def roam(self, host, site):
        """Move a LAN host into another site's LAN."""
        if host in self.links or site not in self.lans:
            raise ValueError("roaming is between sites which have a LAN")
        ns, gw = self.ns(host), self.gw(site)
        self.moved[host] = site
        self.plan()
        sh("ip", "-netns", ns, "link", "del", "eth0")
        port = "r" + host
        sh("ip", "link", "add", port, "netns", gw, "type", "veth", "peer", "name", "eth0", "netns", ns)
        sh("ip", "-netns", gw, "link", "set", port, "master", "lan", "up")
        sh("ip", "-netns", ns, "-batch", "-", input="".join(
            c + "\n" for c in self._host_cmds(host, site)))
        self.save()

    def plug(self, host, site, metric=0):
        """Plug a second cable of a LAN host into another site's LAN; its default route there has that metric.
        Returns the new interface and its address."""
        if host in self.links or site not in self.lans:
            raise ValueError("cables are plugged into sites which have a LAN")
        ns, gw = self.ns(host), self.gw(site)
        base, bits, _ = self.lans[site]
        address, port = f"{base}{150 + list(self.addr4).index(host) % 100}", "p" + host
        sh("ip", "link", "add", port, "netns", gw, "type", "veth", "peer", "name", "eth1", "netns", ns)
        sh("ip", "-netns", gw, "link", "set", port, "master", "lan", "up")
        sh("ip", "-netns", ns, "-batch", "-", input="link set eth1 up\n"
           f"address add {address}/{bits} broadcast + dev eth1\nroute add default via {base}1 metric {metric}\n")
        return "eth1", address

    def noise(self, host, pps, seconds):
        """Fresh UDP flows from a host, so that its NAT hands out ports."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self.udp(host) as s:
                s.sendto(b"noise", (self.ip("coord2"), random.randrange(10000, 60000)))
            time.sleep(1 / pps)
