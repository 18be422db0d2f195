#!/usr/bin/env python3
"""sh tests/bench/run.sh [option...]   warren and each VPN that is installed, measured over the same namespaces in turns

    coord           relays, and introduces warren's peers
      |
    inet            router, no NAT
     |  `---- b1    iperf3 -s
     `------- a1    iperf3 -c, ping

In each round every program is started, measured and stopped, one after the other, so that what changes on the machine
meanwhile meets all of them alike. Printed are medians over the rounds, and ratios.

Tests: rtt    round trip added to the bare path at idle, median of pings 10 ms apart
       tcp1   TCP, one stream; CPU seconds per GB of both daemons together, and of the whole machine
       tcp4   TCP, four streams            reverse   TCP, one stream from the far end
       pps    64-byte UDP packets a second with under 1 % lost, at fixed rates
       rss    memory of a daemon after all that (the larger of the two)
       relay  TCP, one stream, where the router drops everything between the two peers; the coordinator's CPU seconds per GB"""
import argparse
import fcntl
import json
import os
import platform
import signal
import subprocess
import sys
import time

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../net"))

import measure  # noqa: E402
import report  # noqa: E402
import vpns  # noqa: E402
from harness import Mesh, Site, nft, sh  # noqa: E402

DIRECT = {
    "rtt": lambda vpn, seconds: measure.round_trip(vpn, seconds),
    "tcp1": lambda vpn, seconds: measure.tcp(vpn, seconds),
    "tcp4": lambda vpn, seconds: measure.tcp(vpn, seconds, streams=4),
    "reverse": lambda vpn, seconds: measure.tcp(vpn, seconds, reverse=True),
    "pps": lambda vpn, seconds: measure.small_packets(vpn, seconds),
    "rss": lambda vpn, seconds: measure.memory(vpn),
}
TESTS = (*DIRECT, "relay")
WARM_UP_SECONDS = 1
SETTLE_SECONDS = 1  # after a start or a load: what a daemon still does then is not idle
NO_LIMIT = 'rate_per_peer = "100Gbit"  rate_total = "100Gbit"  packets_per_peer = 100000000'


class Block:
    """The router passes nothing between the two peers, of any protocol."""

    def __init__(self, lab):
        self.lab = lab

    def __enter__(self):
        a, b = (self.lab.links[host].up_if for host in vpns.HOSTS)
        nft(self.lab.ns("inet"), "table inet bench { chain forward { type filter hook forward priority 0; policy accept;\n"
            f'iifname "{a}" oifname "{b}" drop\niifname "{b}" oifname "{a}" drop\n}}\n}}\n')

    def __exit__(self, *exc):
        nft(self.lab.ns("inet"), "delete table inet bench\n")


class Bench:
    def __init__(self, mesh, options):
        self.mesh, self.options, self.samples, self.about = mesh, options, [], {}

    def note(self, vpn, number, test, values=None, error=None):
        self.samples.append({"vpn": vpn.name, "round": number, "test": test, **({"error": error} if error else {"values": values})})
        text = error or "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
        print(f"  {number}/{self.options.rounds} {vpn.name:16} {test:8} {text}", flush=True)

    def once(self, vpn, number, test, what):
        try:
            self.note(vpn, number, test, what(vpn, self.options.seconds))
        except (AssertionError, subprocess.SubprocessError, OSError, ValueError, KeyError) as e:
            self.note(vpn, number, test, error=f"{type(e).__name__}: {e}")

    def session(self, vpn, number, tests, relayed):
        """One program, started, measured by each of the tests, stopped."""
        try:
            vpn.start(relayed)
        except (AssertionError, subprocess.SubprocessError, OSError, RuntimeError, KeyError) as e:
            for line in vpn.log_tail():
                print("    |", line)
            for test in tests:
                self.note(vpn, number, test, error=f"does not start: {e}")
            self.end(vpn)
            return
        try:
            if isinstance(vpn, vpns.Warren):
                self.about[vpn.name] = vpn.about()
            with measure.Server(self.mesh.lab):
                time.sleep(SETTLE_SECONDS)
                for test in tests:
                    if test == "relay":
                        self.once(vpn, number, "warm-up", lambda v, _: measure.tcp(v, WARM_UP_SECONDS, relayed=True))
                        self.once(vpn, number, "relay", lambda v, seconds: measure.tcp(v, seconds, relayed=True))
                        continue
                    if test in ("tcp1", "tcp4", "reverse") and not self.is_warm(vpn, number):
                        self.once(vpn, number, "warm-up", lambda v, _: measure.tcp(v, WARM_UP_SECONDS))
                    self.once(vpn, number, test, DIRECT[test])
        finally:
            self.end(vpn)

    def is_warm(self, vpn, number):
        return any(s["vpn"] == vpn.name and s["round"] == number and s["test"] == "warm-up" for s in self.samples)

    def end(self, vpn):
        try:
            vpn.stop()
        except AssertionError as e:
            print(f"    {vpn.name}: {e}")

    def run(self, programs):
        direct = [t for t in self.options.tests if t in DIRECT]
        for number in range(1, self.options.rounds + 1):
            for vpn in programs if direct else ():
                self.session(vpn, number, direct, relayed=False)
        if "relay" not in self.options.tests:
            return
        with Block(self.mesh.lab):
            for number in range(1, self.options.rounds + 1):
                for vpn in programs:
                    if vpn.can_relay:
                        self.session(vpn, number, ["relay"], relayed=True)


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    flags = next((line.split() for line in open("/proc/cpuinfo") if line.startswith("flags")), [])
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "") if os.path.exists("/etc/os-release") else ""
    return {"cores": os.cpu_count(), "cpu": model, "cpu_has": [f for f in ("aes", "avx2", "avx512f", "vaes", "vpclmulqdq") if f in flags],
            "kernel": platform.release(), "system": release, "load": os.getloadavg()[0],
            "iperf3": sh("iperf3", "--version").split("\n")[0]}


def listed(text, known, what):
    names = [n for n in text.split(",") if n]
    for n in names:
        if n not in known:
            raise argparse.ArgumentTypeError(f"no {what} {n!r}; there are: {', '.join(known)}")
    return names


def arguments():
    names = [v.name for v in vpns.EVERY]
    ap = argparse.ArgumentParser(prog="sh tests/bench/run.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--only", type=lambda t: listed(t, names, "program"), metavar="NAMES", help=f"of {', '.join(names)}")
    ap.add_argument("--tests", type=lambda t: listed(t, TESTS, "test"), default=list(TESTS), metavar="LIST", help="default: all")
    ap.add_argument("--rounds", type=int, default=3, metavar="N", help="default 3")
    ap.add_argument("--seconds", type=int, default=5, metavar="S", help="of one TCP run; default 5")
    ap.add_argument("--json", metavar="FILE", help="every single result")
    ap.add_argument("--markdown", nargs="?", const="-", metavar="FILE", help="the table for README")
    ap.add_argument("--svg", metavar="FILE", help="the chart")
    ap.add_argument("--from-json", metavar="FILE", help="report on an earlier run; measure nothing")
    ap.add_argument("--install", action="store_true", help="install the other VPNs from Debian first (done by run.sh)")
    ap.add_argument("--micro", action="store_true",
                    help="instead of all this the parts alone, on one core and without root: seal and open, look-up, handshake (done by run.sh)")
    options = ap.parse_args()
    if options.rounds < 1 or not 1 <= options.seconds <= 60:
        ap.error("at least one round, and 1 to 60 seconds")
    return options


def chosen(only):
    """The programs to measure: those named, or all that are there."""
    out = []
    for vpn in vpns.EVERY:
        if only and vpn.name not in only:
            continue
        missing = vpn.missing()
        if not missing:
            out.append(vpn)
        elif only:
            sys.exit(f"{vpn.name}: not there: {', '.join(missing)}")
        else:
            where = f"; --install gets it from Debian ({' '.join(vpn.packages)})" if vpn.programs else ""
            print(f"{vpn.name}: left out, no {', '.join(missing)}{where}")
    return out


def measured(options):
    if os.geteuid():
        sys.exit("needs root, for network namespaces")
    os.environ["PATH"] = vpns.PATH
    lock = open(os.path.abspath(__file__))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("another run is going on; two would measure each other")
    for s in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, lambda n, _: sys.exit(128 + n))  # so that the laboratory is torn down
    about = machine()
    if about["load"] > 0.5:
        print(f"the machine is not idle (load {about['load']:.1f}): what is measured now is not to be quoted", file=sys.stderr)
    programs = chosen(options.only)
    if not programs:
        sys.exit("nothing to measure")
    began = time.time()
    with Mesh([Site("a", "open"), Site("b", "open")], relay=NO_LIMIT) as mesh:
        bench = Bench(mesh, options)
        made = [vpn(mesh) for vpn in programs]
        bench.run(made)
        return {"schema": "warren.bench/1", "machine": about, "date": time.strftime("%Y-%m-%d", time.gmtime(began)),
                "took_seconds": round(time.time() - began), "rounds": options.rounds, "seconds": options.seconds,
                "programs": [{"name": v.name, "version": v.version(), "cipher": v.cipher, "about": bench.about.get(v.name)} for v in made],
                "samples": bench.samples}


def main():
    options = arguments()
    if options.from_json:
        with open(options.from_json) as f:
            result = json.load(f)
    else:
        result = measured(options)
        if options.json:
            with open(options.json, "w") as f:
                json.dump(result, f, indent=1)
                f.write("\n")
    table = report.Table(result)
    print()
    print(table.text())
    if options.markdown == "-":
        print(table.markdown())
    elif options.markdown:
        with open(options.markdown, "w") as f:
            f.write(table.markdown())
    if options.svg:
        with open(options.svg, "w") as f:
            f.write(table.svg())
    return 1 if any("error" in s for s in result["samples"]) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
