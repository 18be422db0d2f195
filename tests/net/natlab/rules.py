"""The nftables rules of the boxes and of the links"""
import socket


def snat(box, pub):
    """The nft statements which translate UDP and TCP sources."""
    n = 8192
    ports = ", ".join(f"{i} : {20000 + i}" for i in range(n))
    seed = sum(map(ord, box.name)) + 1
    return {
        "portnp": f"snat to {pub}:1024-32767",
        "symrand": f"snat to {pub} fully-random",
        "symseq": f"snat to {pub} : numgen inc mod {n} map {{ {ports} }}",
        "symaddr": f"snat to {pub} : jhash ip saddr . @th,0,16 . ip daddr mod {n} "
                   f"seed {seed} map {{ {ports} }}",
    }.get(box.kind, f"snat to {pub}")


def nat_rules(box, pub, first=""):
    """A NAT box: interface "wan" outside, every other interface inside; first: a LAN host."""
    k, life = box.kind, box.udp_stream or box.udp_timeout or 120
    inside, outside = 'iifname != "wan"', 'iifname "wan"'
    pre, out, track = [], [], []
    if k == "one2one":
        pre += [f"{outside} ip daddr {pub} dnat to {first}"]
    if k == "fullcone":
        pre += [f"{outside} ip daddr {pub} meta l4proto udp dnat ip to udp dport map @eim"]
    if k == "addr":
        pre += [f"{outside} ip daddr {pub} udp dport . ip saddr @perm "
                "dnat ip to udp dport map @eim"]
    if box.hairpin:
        pre += [f"{inside} ip daddr {pub} meta l4proto udp dnat ip to udp dport map @eim"]
    if k in ("fullcone", "addr") or box.hairpin:
        for way in ('oifname "wan"', f'{inside} oifname != "wan" ct status snat'):
            track += [
                f"{way} meta l4proto udp ct direction original "
                "update @eim { udp sport : ct original ip saddr . ct original proto-src }",
                f"{way} meta l4proto udp ct direction reply "
                "update @eim { udp sport : ct reply ip saddr . ct reply proto-src }"]
        track += ['oifname "wan" meta l4proto udp update @perm { udp sport . ip daddr }']
    no = "reject with icmp type admin-prohibited" if box.reject else "drop"
    if k == "udpblocked":
        out += [f'{inside} oifname "wan" meta l4proto != {{ tcp, icmp }} {no}']
    if k == "tcp443":
        out += [f'{inside} oifname "wan" tcp dport != 443 {no}',
                f'{inside} oifname "wan" meta l4proto != tcp {no}']
    s = snat(box, pub)
    nl = "\n    "
    return f"""
table ip natlab
delete table ip natlab
table ip natlab {{
  map eim {{ type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout {life}s; size 65535; }}
  set perm {{ type inet_service . ipv4_addr; flags dynamic,timeout; timeout {life}s; size 65535; }}
  chain pre {{
    type nat hook prerouting priority dstnat; policy accept;
    {nl.join(pre)}
  }}
  chain post {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {pub} accept
    oifname "wan" meta l4proto {{ tcp, udp }} {s}
    oifname "wan" snat to {pub}
    {inside} oifname != "wan" ct status dnat meta l4proto {{ tcp, udp }} {s if box.hairpin else "accept"}
  }}
  chain track {{
    type filter hook postrouting priority 150; policy accept;
    {nl.join(track)}
  }}
  chain through {{
    type filter hook forward priority filter; policy drop;
    {nl.join(out)}
    {inside} oifname "wan" accept
    {outside} ct state established,related accept
    ct status dnat accept
    {inside} oifname != "wan" {"drop" if box.isolate else "accept"}
  }}
  chain inp {{
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ct state established,related accept
    icmp type echo-request accept
    {inside} ip daddr {pub} drop
    {inside} accept
    meta l4proto udp {box.input}
  }}
}}
"""


def fw_rules(fam, open_=False):
    """A stateful firewall in a host (fam inet) or an IPv6 gateway (fam ip6)."""
    hook = "input" if fam == "inet" else "forward"
    passing = 'iifname "lo" accept' if fam == "inet" else 'iifname != "wan" accept'
    icmp6 = ("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, "
             "packet-too-big, destination-unreachable, echo-request } accept")
    return f"""
table {fam} natlab_fw
delete table {fam} natlab_fw
table {fam} natlab_fw {{
  chain f {{
    type filter hook {hook} priority filter; policy {"accept" if open_ else "drop"};
    {passing}
    ct state established,related accept
    {icmp6}
    {"icmp type echo-request accept" if fam == "inet" else ""}
  }}
}}
"""


def link_rules(link):
    """Impairments of an up-link, kept in the upstream namespace (table per link)."""
    o, ifn, rules, early, outp = link.opts, link.up_if, [], [], []
    for way in ("iifname", "oifname"):
        if o.cut or o.loss >= 100:
            rules += [f'{way} "{ifn}" drop']
        for family, blocked in (("ipv4", o.block4), ("ipv6", o.block6)):
            if blocked:
                rules += [f'{way} "{ifn}" meta nfproto {family} drop']
        if 0 < o.loss < 100:
            rules += [f'{way} "{ifn}" numgen random mod 10000 < {int(o.loss * 100)} drop']
    if o.nofrag:
        early += [f'iifname "{ifn}" ip frag-off & 0x3fff != 0 drop']
        late = [f'oifname "{ifn}" ip frag-off & 0x3fff != 0 drop']
    else:
        late = []
    if o.blackhole:
        outp = blackhole_rules(o.mtu, link)
    nl = "\n    "
    return f"""
table inet nl_{ifn}
delete table inet nl_{ifn}
table inet nl_{ifn} {{
  chain before {{ type filter hook prerouting priority -500; policy accept;
    {nl.join(early)}
  }}
  chain through {{ type filter hook forward priority -10; policy accept;
    {nl.join(rules)}
  }}
  chain after {{ type filter hook postrouting priority 300; policy accept;
    {nl.join(late)}
  }}
  chain out {{ type filter hook output priority -10; policy accept;
    {nl.join(outp)}
  }}
}}
"""


def blackhole_rules(mtu, link=None):
    """Drop own ICMP "too big" with this MTU; with link, only those about packets into it."""
    four = f"icmp type destination-unreachable icmp code frag-needed icmp mtu {mtu}"
    six = f"icmpv6 type packet-too-big icmpv6 mtu {mtu}"
    if not link:
        return [four + " drop", six + " drop"]
    to4 = [socket.inet_aton(a).hex() for a in link.v4]
    to6 = {socket.inet_pton(socket.AF_INET6, a.split("/")[0])[:8].hex() for a in link.v6 + link.v6net}
    return [f"{four} @th,192,32 0x{a} drop" for a in to4] + \
        [f"{six} @th,256,64 0x{a} drop" for a in to6]


def mute_rules(inside):
    """Counts and drops fragments, and drops ICMP but for neighbour discovery, of whatever arrives outside the tunnel."""
    return f"""
table inet nl_mute
delete table inet nl_mute
table inet nl_mute {{
  counter fragments {{ }}
  chain before {{ type filter hook prerouting priority -510; policy accept;
    iifname {{ "lo", "{inside}" }} accept
    ip frag-off & 0x3fff != 0 counter name fragments drop
    exthdr frag exists counter name fragments drop
    meta l4proto icmp drop
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
    meta l4proto ipv6-icmp drop
  }}
}}
"""
