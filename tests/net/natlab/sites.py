"""What can be asked for: sites, carrier NATs, up-links, and their options"""
import dataclasses
import os
import re
from dataclasses import dataclass

CORE, PUB, EXTRA, V6 = "198.51.100.", "203.0.113.", "192.0.2.", "2001:db8:"
UPNP = "9.0.113."  # public addresses of sites with miniupnpd
UPGW = "169.254.1.1"  # what every down-link uses as its gateway
STATE = "/run/natlab"
HERE = os.path.dirname(os.path.abspath(__file__))  # python3 HERE is the command line
KINDS = ("open", "openfw", "one2one", "fullcone", "addr", "port", "portnp", "symaddr",
         "symseq", "symrand", "udpblocked", "tcp443")
ALIASES = {"none": "open", "public": "open", "firewall": "openfw", "full": "fullcone",
           "addrrestricted": "addr", "restricted": "addr", "portrestricted": "port",
           "cone": "port", "masquerade": "port", "portrestricted-np": "portnp",
           "symmetric": "symrand", "symmetric-random": "symrand",
           "symmetric-seq": "symseq", "symmetric-sequential": "symseq",
           "symmetric-addr": "symaddr", "udp-blocked": "udpblocked",
           "only443": "tcp443", "only-443": "tcp443"}
EIM = ("fullcone", "addr", "port", "portnp")
PUBLIC = ("open", "openfw")


@dataclass
class Uplink:
    name: str
    mtu: int = 1500
    blackhole: bool = False
    nofrag: bool = False
    loss: float = 0
    rate: str = ""
    delay: float = 0
    jitter: float = 0
    cut: bool = False
    block4: bool = False
    block6: bool = False


@dataclass
class Box(Uplink):
    kind: str = "port"
    hairpin: bool = False
    udp_timeout: int = 0
    udp_stream: int = 0
    input: str = "drop"
    reject: bool = False
    isolate: bool = False
    addr: str = ""  # public address, when not the computed one

    def __post_init__(self):
        self.kind = ALIASES.get(self.kind, self.kind)
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: no such kind: {self.kind} (of {' '.join(KINDS)})")
        if not re.fullmatch(r"[a-z]{1,8}", self.name) or \
                self.name in ("inet", "coord", "lo", "lan", "wan"):
            raise ValueError(f"bad name {self.name!r}: 1 to 8 letters, not inet coord lo lan wan")
        if self.hairpin and self.kind not in EIM:
            raise ValueError(f"{self.name}: hairpin needs one of {' '.join(EIM)}")
        if self.input not in ("drop", "accept", "reject"):
            raise ValueError(f"{self.name}: input=drop|accept|reject")


@dataclass
class Site(Box):
    hosts: int = 1
    cgn: str = ""
    lan: str = ""
    v6: str = ""
    v6only: bool = False
    hostfw: bool = False
    upnp: bool = False
    maps: str = "pcp+natpmp+igd"

    # positional use: Site("a", "port", hosts=2)
    def __init__(self, name, kind="port", **kw):
        _fill(self, name=name, kind=kind, **kw)
        if self.v6only and not self.v6:
            self.v6 = "fw"
        if not set(self.maps.split("+")) <= {"pcp", "natpmp", "igd"}:
            raise ValueError(f"{name}: maps= of pcp, natpmp and igd, with + between them")
        if self.v6 not in ("", "fw", "open"):
            raise ValueError(f"{name}: v6=fw|open")
        if self.kind in PUBLIC and self.cgn:
            raise ValueError(f"{name}: an open site has no gateway to put behind a CGN")


@dataclass
class Cgn(Box):
    def __init__(self, name, kind="fullcone", **kw):
        _fill(self, name=name, kind=kind, **kw)
        if self.kind in PUBLIC or self.kind == "one2one":
            raise ValueError(f"{name}: a CGN shares its address")


def _fill(obj, **kw):
    for f in dataclasses.fields(obj):
        v = kw.pop(f.name, f.default)
        setattr(obj, f.name, v)
    if kw:
        raise ValueError(f"{obj.name}: unknown option {' '.join(kw)}")
    Box.__post_init__(obj)


def options(cls, words):
    types = {f.name: f.type for f in dataclasses.fields(cls)}
    out = {}
    for w in filter(None, words):
        k, eq, v = w.partition("=")
        k = k.replace("-", "_")
        if k not in types:
            raise ValueError(f"unknown option {k!r} (of {' '.join(types)})")
        t = types[k] if isinstance(types[k], type) else {"int": int, "float": float,
                                                         "bool": bool, "str": str}[types[k]]
        out[k] = (v.lower() in ("", "1", "yes", "true", "on")) if t is bool else t(v)
    return out


def parse(cls, text):
    name, _, rest = text.partition("=")
    kind, *words = rest.split(",")
    return cls(name, kind, **options(cls, words)) if kind else cls(name, **options(cls, words))


@dataclass
class Link:
    """An up-link, planned: `dev` in `ns` with its addresses, `up_if` in `up_ns`."""
    up_ns: str
    up_if: str
    ns: str
    dev: str
    v4: list
    v6: list        # addresses on dev
    v6net: list     # prefixes routed to it besides
    opts: Uplink
