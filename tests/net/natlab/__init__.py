"""A NAT laboratory made of network namespaces (root, standard library only).

Topology (addresses of the documentation ranges; nothing is wired to the root
namespace and "inet" has no uplink, so no packet can leave the machine):

    coord  198.51.100.10 .11   2001:db8:ffff::10 ::11   (two addresses, for RFC 5780)
    coord2 198.51.100.20 .21   2001:db8:ffff::20 ::21
       |
     inet  (router 198.51.100.1; unknown destinations are silently discarded)
       |-- [cgn NAT 203.0.113.(200+k)] -- 100.64.k.0/24 -- site gateways ...
       |-- site i: gateway "wan" 203.0.113.(10+i) | bridge "lan" 192.168.i.1/24
                   hosts a1 a2 ...  eth0 192.168.i.(1+h)   v6 2001:db8:i::(1+h)
       `-- open sites: host eth0 itself has 203.0.113.(10+i) (host h>1: 192.0.2.(8i+h))

Site i is the i-th --site (from 1). Site and CGN names are 1-8 letters. Namespaces are
called <id>-inet, <id>-coord, <id>-a-gw, <id>-a1, ... with a random <id> such as nl3fa2.

Command line (natlab is: python3 tests/net/natlab, or python3 "$NATLAB" in a lab)
    natlab run  --site a=port --site b=symrand,hosts=2 [--cgn isp=fullcone,hairpin]
                   [--coord delay=10] -- ./script args   build, run script, tear down
    natlab up   --site ...       build and leave it; prints "export NL_ID=..." lines
    natlab down [ID]  |  list  |  clean [--all]       (clean: labs whose owner died)
    natlab env                                        print the variables again
    natlab exec HOST cmd...      run in a host, e.g. exec a1 ping 198.51.100.10
    natlab kinds | selftest [-k SUBSTR] | matrix
  While a lab runs (id from $NL_ID or --id), events:
    rebind SITE [--addr X]          NAT reboot: forget all mappings; maybe new public address
    cut LINK | uncut LINK           silent path failure (LINK: site, cgn, coord, open host)
    set LINK loss=5 rate=2mbit mtu=1280 blackhole=1 nofrag=0     change link properties
    carrier HOST up|down            eth0 of a host goes down/up (routes come back)
    roam HOST SITE                  move a host to another site's LAN (new address)
    noise HOST PPS SECONDS          other traffic which consumes NAT ports
    capture LINK FILE SECONDS       tcpdump -w of the up-link

  run's script gets: NL_ID NATLAB(=this folder) NS_INET NS_COORD NS_COORD2 NS_<HOST>
  NS_<SITE>_GW IP_COORD IP_COORD_ALT IP_COORD2 IP6_COORD IP6_COORD2 IP_<HOST> IP6_<HOST>
  PUB_<SITE> (upper case). Use them as:  ip netns exec $NS_A1 ./warren ... &
  Processes left in the namespaces get SIGTERM, then SIGKILL, at tear-down.

Site kinds (UDP behaviour in RFC 4787 terms; TCP is NATed alike, inbound SYN dropped)
    open       public address, no filter          openfw  public address, stateful firewall
    one2one    1:1 NAT (cloud VM): everything to host 1, port kept
    fullcone   EIM, EIF                           addr    EIM, address-dependent filtering
    port       EIM, APDF, keeps port (= Linux masquerade)
    portnp     EIM, APDF, does not keep the port (1024-32767; local ports inside are kept)
    symaddr    address-dependent mapping, APDF    symseq  APDM with consecutive ports, APDF
    symrand    APDM with random ports, APDF (= masquerade fully-random)
    udpblocked only TCP and ICMP get out          tcp443  only TCP port 443 gets out
Aliases: portrestricted=port addrrestricted=addr symmetric=symrand none=open ...

Options of a site or cgn (after the kind, comma-separated; flags need no value)
    hosts=N         hosts on the LAN (default 1)
    cgn=NAME        put the site behind that CGN (double NAT)
    lan=10.0.0.0/24 LAN subnet (to give two sites the same one, say)
    hairpin         NAT loops LAN->own public address back, source translated (EIM kinds;
                    looped packets are filtered as EIF)
    isolate         cgn: subscribers cannot reach each other's 100.64 addresses
    udp_timeout=S   UDP mapping life (conntrack and dynamic sets); udp_stream=S for the
                    bidirectional state, if different (kernel default 30/120)
    v6=fw|open      native IPv6 with stateful firewall / without;  v6only: no IPv4 at all
    hostfw          every LAN host has a stateful firewall of its own (as ufw)
    input=drop|accept|reject   what the gateway does with unsolicited inbound UDP. "accept"
                    = careless Linux router: an early punch creates a conntrack entry for
                    the router itself, and the later outbound mapping changes its port.
    upnp            run miniupnpd (UPnP IGD, NAT-PMP, PCP) in the gateway, whose public
                    address is then 9.0.113.(10+i). Needs the program, or its path in
                    $MINIUPNPD: apt-get download miniupnpd-nftables; dpkg -x *.deb DIR;
                    export MINIUPNPD=DIR/usr/sbin/miniupnpd
    maps=pcp+igd    which of pcp, natpmp and igd (UPnP) it speaks; all by default
    reject          udpblocked/tcp443: answer with ICMP admin-prohibited, not silence
  Options of the up-link (site, cgn; --coord/--coord2 take these too)
    mtu=1280        link MTU;  blackhole: its ICMP "too big" are dropped;  nofrag: IP
                    fragments are dropped
    loss=PCT        random loss, each direction;  rate=20mbit: tbf, each direction
    block4 block6   the family is configured and routed, but black-holed; cut: both
    delay=MS jitter=MS  one-way delay, each direction: the link becomes two TUNs and a
                    Python process, since there is no netem (some 50 kpps, one busy core)

Library
    from natlab import Lab, Site, Cgn
    with Lab([Site("a", "port", hosts=2), Site("b", "symrand", udp_timeout=15)]) as lab:
        p = lab.popen("a1", ["./warren", ...]); lab.run("b1", ["ping", "-c1", lab.ip("coord")])
        s = lab.udp("a1")          # a socket which lives in a1, usable from this process
        lab.rebind("a"); lab.cut("b"); lab.uncut("b"); lab.set("b", loss=10)
"""
from .lab import Lab
from .sites import Cgn, Site, Uplink
from .tools import alive, netns, nft, sh, sysctl

__all__ = ["Cgn", "Lab", "Site", "Uplink", "alive", "netns", "nft", "sh", "sysctl"]
