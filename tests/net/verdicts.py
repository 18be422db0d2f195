"""What netcheck must say of each kind of site, by natlab's rules; and asking it of many nodes at once"""
import concurrent.futures
import time

from harness import FACTOR, check

EI, AD, APD = "endpoint-independent", "address-dependent", "address-and-port-dependent"
# mapping, filtering, ports kept, RFC 3489's name
TRUTH = {
    "open": ("none", EI, True, "open"),
    "openfw": ("none", APD, True, "symmetric firewall"),
    "one2one": (EI, EI, True, "full cone"),
    "fullcone": (EI, EI, True, "full cone"),
    "addr": (EI, AD, True, "restricted cone"),
    "port": (EI, APD, True, "port-restricted cone"),
    "portnp": (EI, APD, False, "port-restricted cone"),
    "symaddr": (AD, APD, False, "symmetric"),
    "symseq": (APD, APD, False, "symmetric"),
    "symrand": (APD, APD, False, "symmetric"),
    "udpblocked": (None, None, None, "UDP blocked"),
    "tcp443": (None, None, None, "UDP blocked"),
}
BLOCKED = {"udpblocked", "tcp443"}


def netchecks(mesh, hosts):
    """Of all hosts at once: each waits for what it measures."""
    with concurrent.futures.ThreadPoolExecutor(len(hosts)) as pool:
        return dict(zip(hosts, pool.map(lambda h: mesh.ctl_json(h, "netcheck"), hosts)))


def netchecks_whole(mesh, hosts):
    """The same, those asked again that had not measured all in their time."""
    said = netchecks(mesh, hosts)
    end = time.monotonic() + 10 * FACTOR
    while any(s["pending"] for s in said.values()):
        check(time.monotonic() < end, f"still measured: { {h: s['pending'] for h, s in said.items() if s['pending']} }")
        said.update(netchecks(mesh, [h for h, s in said.items() if s["pending"]]))
    return said


def verdict(said):
    """Of a netcheck, what TRUTH begins with and whether UDP is blocked."""
    return said["mapping"], said["filtering"], said["udp_blocked"]


def true_verdict(kind):
    return *TRUTH[kind][:2], kind in BLOCKED
