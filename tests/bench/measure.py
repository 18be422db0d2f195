"""What is measured of a VPN that runs: TCP, CPU time, small packets, round trip, memory"""
import json
import os
import re
import statistics
import subprocess

from harness import PROGRAMS, check, wait_until
from vpns import HOSTS

TICKS = os.sysconf("SC_CLK_TCK")
IPERF_PORT, RATE_PORT = 5201, 5000
UDP_RATE = os.path.join(os.path.dirname(PROGRAMS["warrend"]), "tests/bench_udp_rate")
SMALL_BYTES = 64
LOSS_ALLOWED = 0.01
RATE_FIRST, RATE_LAST = 8000, 4_000_000
RATE_PRECISION = 1.04  # the search ends when the rate that passed and the one that failed are that close
RATE_STEPS_MAX = 20
PING_INTERVAL = 0.01


def process_seconds(pid):
    """CPU time of a process with all its threads, those that ended too."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def machine_seconds():
    """CPU time of the whole machine: all but idle, waiting and stolen."""
    with open("/proc/stat") as f:
        user, nice, system, _, _, irq, softirq = map(int, f.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def rss_mib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"^VmRSS:\s+(\d+) kB", f.read(), re.M)[1]) / 1024


class Server:
    """iperf3's end in b1, for as long as one VPN runs."""

    def __init__(self, lab):
        self.lab = lab

    def __enter__(self):
        self.process = self.lab.popen("b1", ["iperf3", "-s", "-p", str(IPERF_PORT)], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        listening = f":{IPERF_PORT:04X} 0000"
        wait_until(lambda: any(listening in open(f"/proc/{self.process.pid}/net/{t}").read() or
                               re.search(rf":{IPERF_PORT:04X} \S+ 0A", open(f"/proc/{self.process.pid}/net/{t}").read())
                               for t in ("tcp", "tcp6")), 5, "iperf3 listens")
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()


class Cpu:
    """CPU time that the daemons of a VPN, and the machine, spend while the block runs."""

    def __init__(self, vpn):
        self.pids = {host: vpn.pid(host) for host in ("coord", *HOSTS) if vpn.pid(host)}

    def _read(self):
        return {**{host: process_seconds(pid) for host, pid in self.pids.items()}, "machine": machine_seconds()}

    def __enter__(self):
        self._before = self._read()
        return self

    def __exit__(self, *exc):
        after = self._read()
        self.spent = {who: after[who] - before for who, before in self._before.items()}

    def both(self):
        return sum(self.spent[host] for host in HOSTS)


def tcp(vpn, seconds, streams=1, reverse=False, relayed=False):
    """One iperf3 run from a1 to b1 (reverse: back), checked to have taken the way it is named for."""
    argv = ["iperf3", "-c", vpn.target, "-p", str(IPERF_PORT), "-t", str(seconds), "-P", str(streams), "-J", *["-R"] * reverse]
    outer = vpn.mesh.link_bytes("coord")
    with Cpu(vpn) as cpu:
        r = vpn.lab.run("a1", argv, capture_output=True, text=True, timeout=seconds + 15)
    outer = vpn.mesh.link_bytes("coord") - outer
    document = json.loads(r.stdout)
    check("error" not in document, f"{vpn.name}: iperf3: {document.get('error')}")
    got = document["end"]["sum_received"]
    size, gb = got["bytes"], got["bytes"] / 1e9
    check(gb > 0, f"{vpn.name}: no byte arrived")
    check(outer < size / 20 if not relayed else outer > size, f"{vpn.name}: {outer} bytes went by the coordinator's link, {size} arrived")
    out = {"gbit": got["bits_per_second"] / 1e9, "cpu": cpu.both() / gb, "machine_cpu": cpu.spent["machine"] / gb,
           "retransmits": document["end"]["sum_sent"].get("retransmits")}
    if relayed:
        out["coordinator_cpu"] = cpu.spent["coord"] / gb
    return out


def rate_once(vpn, rate, seconds):
    netns = [f"/run/netns/{vpn.lab.ns(h)}" for h in HOSTS]
    r = subprocess.run([UDP_RATE, *netns, vpn.target, str(RATE_PORT), str(SMALL_BYTES), str(rate), str(seconds)],
                       capture_output=True, text=True, timeout=seconds + 10)
    check(r.returncode == 0, f"{vpn.name}: {r.stderr.strip()}")
    return json.loads(r.stdout)


def highest(works):
    """The highest of the rates tried that works: doubled until one fails, then between the two, until they are close.

    A failure may be the doing of another program that ran for a moment. So a rate fails that does twice; and the one that ends the
    search is tried a last time: if it works then, the search goes on above it."""
    passed, failed, rate = 0, None, RATE_FIRST
    for _ in range(RATE_STEPS_MAX):
        if works(rate) or works(rate):
            passed, failed = rate, None if failed == rate else failed
            if failed is None and rate >= RATE_LAST:
                break
        elif failed == rate:
            break
        else:
            failed = rate
        if failed is None:
            rate *= 2
        elif not passed:
            rate = failed // 4
            check(rate >= 100, "loses a hundredth of 100 packets a second")
        else:
            rate = failed if failed <= passed * RATE_PRECISION else round((passed * failed) ** 0.5)
    return passed


def small_packets(vpn, seconds):
    """The highest rate at which under a hundredth is lost."""
    seconds, runs = max(1, round(seconds / 2)), []

    def works(rate):
        runs.append(rate_once(vpn, rate, seconds))
        return runs[-1]["received"] > runs[-1]["offered"] * (1 - LOSS_ALLOWED)

    packets, last = highest(works), runs[-1]
    limited = last["sent"] < last["offered"] * (1 - LOSS_ALLOWED) and last["received"] > last["sent"] * (1 - LOSS_ALLOWED)
    return {"packets": packets, "limited_by_sender": limited, "steps": len(runs)}


def ping_median_us(lab, address, count):
    r = lab.run("a1", ["ping", "-n", "-i", str(PING_INTERVAL), "-c", str(count), address], capture_output=True, text=True,
                timeout=count * PING_INTERVAL * 3 + 10)
    times = [float(t) * 1000 for t in re.findall(r"time=([\d.]+) ms", r.stdout)]
    check(len(times) > count * 0.9, f"{len(times)} of {count} pings to {address} were answered")
    return statistics.median(times)


def round_trip(vpn, seconds):
    """Added to the bare path, which is measured before and after."""
    count = max(100, int(seconds / PING_INTERVAL / 2))
    bare = [ping_median_us(vpn.lab, vpn.lab.ip("b1"), count // 2)]
    tunnel = ping_median_us(vpn.lab, vpn.target, count)
    bare.append(ping_median_us(vpn.lab, vpn.lab.ip("b1"), count // 2))
    return {"added_us": tunnel - statistics.mean(bare), "tunnel_us": tunnel, "bare_us": statistics.mean(bare)}


def memory(vpn):
    each = {host: rss_mib(vpn.pid(host)) for host in ("coord", *HOSTS) if vpn.pid(host)}
    return {"mib": max(each[host] for host in HOSTS), **each}
