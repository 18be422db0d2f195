"""A mesh in a laboratory: coordinator and peers as daemons in its hosts, and what the scenarios ask of them

    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_path("a1", "b1", "direct", within=2)
    main(case, ...) at the end of a script runs its cases.

A host's name is its node's name too. Whatever a case left running is ended; a report of a sanitizer in a log, a daemon that does
not end with 0 on SIGTERM, or a TUN device left behind fails the case.

Environment: WARREN_BUILD the binary directory; WARREN_TIME_FACTOR stretches what only a slow build makes slow (start and end of
a process), never a limit that a scenario states; WARREN_DISABLE, which the daemons read, forces fallbacks (daemon/net/offload.h), and
every scenario holds with each; WARREN_KEEP leaves the files of a failed case."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

from natlab import Cgn, Lab, Site, Uplink, netns, nft, sh
from traffic import Capture, Pinger, Transfer, again, first_answer

__all__ = ["Capture", "Cgn", "FACTOR", "Mesh", "Pinger", "Site", "Transfer", "Uplink", "again", "check", "first_answer", "main",
           "memory_mib", "netns", "nft", "sh", "voluntary_switches", "wait_until", "PROGRAMS"]

BUILD = os.environ.get("WARREN_BUILD") or os.path.join(os.path.dirname(__file__), "../../build/debug")
PROGRAMS = {name: os.path.join(os.path.abspath(BUILD), name) for name in ("warrend", "warrenctl")}
FACTOR = float(os.environ.get("WARREN_TIME_FACTOR", "1"))
# Debian 12's libminiupnpc has numbers read from answers without a NUL at their end, which strict_string_checks is told of.
SANITIZERS = {"ASAN_OPTIONS": ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "suppressions=" + os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "asan.supp")]))}
PREFIX4, PREFIX6 = "10.77.0.0/16", "fd77::/64"
REPORTS = re.compile(r"ERROR: AddressSanitizer|runtime error:|WARNING: ThreadSanitizer|LeakSanitizer|"
                     r"UndefinedBehaviorSanitizer|Assertion .* failed|stack smashing detected|buffer overflow detected")


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def wait_until(condition, seconds, what, since=None):
    """Asks until the condition holds and returns what it returned; fails `seconds` after `since` (now)."""
    begin = time.monotonic() if since is None else since
    while True:
        now = time.monotonic()  # taken before asking: an answer that was late to ask for is not late
        value = condition()
        if value:
            return value
        if now - begin > seconds:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def voluntary_switches(pid):
    """How often the threads of a process have gone to sleep, that is, have woken up before."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as f:
            total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", f.read(), re.M)[1])
    return total


def memory_mib(pid):
    """What of a process is resident; and of that what is anonymous, what is of files."""
    with open(f"/proc/{pid}/status") as f:
        text = f.read()
    return [int(re.search(rf"^{field}:\s+(\d+) kB", text, re.M)[1]) / 1024 for field in ("VmRSS", "RssAnon", "RssFile")]


def tool(*argv, text=None):
    r = subprocess.run(argv, input=text, text=True, capture_output=True)
    check(r.returncode == 0, f"{' '.join(argv)}: exit {r.returncode}: {r.stderr.strip()}")
    return r.stdout.strip()


class Key:
    def __init__(self, path, *kind):
        self.path = path
        self.secret = tool(PROGRAMS["warrenctl"], "key", "gen", *kind)
        self.public = tool(PROGRAMS["warrenctl"], "key", "pub", *kind, text=self.secret + "\n")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
            f.write(self.secret + "\n")


class Daemon:
    """warrend in one host, started again as often as a case likes; all its runs log to one file."""

    def __init__(self, mesh, host):
        self.mesh, self.host = mesh, host
        self.conf, self.log_path, self.control = (f"{mesh.dir}/{host}.{end}" for end in ("conf", "log", "sock"))
        self.process = None

    def start(self, env=(), args=("--user", "root")):
        with open(self.log_path, "ab") as log:
            self.started = time.monotonic()
            self.process = self.mesh.lab.popen(self.host, [PROGRAMS["warrend"], "-c", self.conf, *args],
                                               stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                               env={**os.environ, **SANITIZERS, **self.mesh.env, **dict(env)})

    def ready(self):
        check(self.process.poll() is None, f"{self.host}: warrend ended at once with {self.process.returncode}")
        return self.ask("version", missing_ok=True)

    def ask(self, cmd, missing_ok=False, **args):
        """The document that the control socket answers with; None where nobody listens and that is allowed."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(8 * FACTOR)  # netcheck measures for 6 s
            try:
                s.connect(self.control)
                s.sendall(json.dumps({"cmd": cmd, **args}).encode() + b"\n")
                data = b""
                while not data.endswith(b"\n"):
                    part = s.recv(1 << 20)
                    if not part:
                        raise ConnectionResetError("no whole line")
                    data += part
            except OSError as e:
                if missing_ok:
                    return None
                raise AssertionError(f"{self.host}: control socket: {e}") from e
        document = json.loads(data)
        check("error" not in document, f"{self.host}: {cmd}: {document.get('error')}")
        return document

    def log(self):
        try:
            with open(self.log_path, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def kill(self):
        """SIGKILL: no goodbye to anybody."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self):
        self.terminate()
        self.ended()

    def terminate(self):
        early = self.process.poll()
        if early is not None:
            self.process = None
        check(early is None, f"{self.host}: warrend had ended with {early}")
        self.process.send_signal(signal.SIGTERM)

    def ended(self):
        """Everything that must hold at a daemon's end."""
        process, self.process = self.process, None
        try:
            code = process.wait(5 * FACTOR)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.host}: warrend did not end on SIGTERM") from None
        check(code == 0, f"{self.host}: warrend ended with {code} on SIGTERM")
        left = sh("ip", "-netns", self.mesh.lab.ns(self.host), "-o", "link", "show", "type", "tun")
        check("warren" not in left, f"{self.host}: left behind: {left}")
        check(not os.path.exists(self.control), f"{self.host}: control socket left behind")


class Mesh:
    """A laboratory, one network, and a node in each host; nothing runs until it is started."""

    def __init__(self, sites, cgns=(), coord=None, underlay="4", members=None, env=(), relay="", psk=False,
                 settings="", coordinators=("coord",), trust=False):
        self.sites, self.cgns, self.uplink = sites, cgns, coord
        self.underlay, self.members, self.relay = underlay, members, relay
        self.settings = settings  # further lines of the coordinator's file
        self.coordinators = coordinators  # hosts; every peer's file lists them as "c1", "c2"
        self.trust = trust  # a network key: certificates say who is a member, not the coordinators' files
        self.env, self.psk, self.nodes, self.keys = dict(env), psk, {}, {}

    # -- life

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="warren-")
        self.lab = Lab(self.sites, self.cgns, self.uplink)
        try:
            self.lab.build()
            self._configure()
        except BaseException:
            self._tear_down()
            raise
        return self

    def __exit__(self, kind, error, trace):
        faults = []
        # Peers first: the end of the coordinator is nothing they should have to live through.
        peers = [n for n in self.nodes.values() if n.host not in self.coordinators]
        coord = [n for n in self.nodes.values() if n.host in self.coordinators]
        for step in [*[n.terminate for n in peers], *[n.ended for n in peers], *[n.stop for n in coord]]:
            try:
                if step.__self__.process:
                    step()
            except AssertionError as e:
                faults.append(str(e))
        for node in self.nodes.values():
            found = REPORTS.search(node.log())
            if found:
                faults.append(f"{node.host}: its log says {found[0]}")
        if error or faults:
            self._report()
        self._tear_down(keep=bool((error or faults) and os.environ.get("WARREN_KEEP")))
        if faults and not error:
            raise AssertionError("; ".join(faults))
        if faults:
            print("  besides:", "; ".join(faults))

    def _tear_down(self, keep=False):
        self.lab.destroy()
        if keep:
            print("  files kept in", self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def _report(self):
        for host, node in self.nodes.items():
            lines = node.log().splitlines()
            at = next((i for i, line in enumerate(lines) if REPORTS.search(line)), None)
            shown = lines[at:at + 60] if at is not None else lines[-40:]
            print(f"--- {host}: {len(lines)} lines of log", *shown, sep="\n    ")

    # -- configuration

    def overlay(self, host, six=False):
        number = 1 + self.lab.hosts().index(host) + 1
        return f"fd77::{number:x}" if six else f"10.77.0.{number}"

    def _configure(self):
        hosts = self.lab.hosts()
        for host in (*self.coordinators, *hosts):
            os.mkdir(f"{self.dir}/{host}.state", 0o700)
            self.nodes[host] = Daemon(self, host)
            self.keys[host] = Key(f"{self.dir}/{host}.key")
        if self.psk:
            self.write_psk(*hosts)
        if self.trust:
            self.network = Key(f"{self.dir}/network.key", "--network")
        for host in hosts:
            if self.trust:
                self.certify(host)
            self.configure_peer(host)
        if self.members is None:
            self.members = [] if self.trust else hosts
        for coordinator in self.coordinators:
            self.configure_coordinator(self.members, coordinator)

    def certificate(self, host, *options, name=None, addresses=None, key=None):
        """A certificate under the network key, as text."""
        return tool(PROGRAMS["warrenctl"], "cert", "sign", name or host, "--signing-key", self.network.path, "--public-key",
                    key or self.keys[host].public, "--ip",
                    ",".join(addresses or [self.overlay(host), self.overlay(host, six=True)]), *options)

    def certify(self, host, *options, **kw):
        self.write_certificate(host, self.certificate(host, *options, **kw))

    def write_certificate(self, host, text):
        with open(f"{self.dir}/{host}.cert", "w") as f:
            f.write(text + "\n")

    def _common(self, host, role):
        return (f'role = {role}\nname = "{host}"\n'
                f'private_key_file = "{self.keys[host].path}"\n'
                f'control_socket = "{self.dir}/{host}.sock"\nstate_dir = "{self.dir}/{host}.state"\n')

    def configure_coordinator(self, members, coordinator="coord"):
        text = self._common(coordinator, "coordinator") + self.settings + "\n"
        if self.trust and not members:
            text += f'network_key = "{self.network.public}"\n'
        text += ('listen { address = "::"  port = 27700  alternate_port = 27701  tcp_ports = {27700, 443}\n'
                 f'         alternate_address = "{self.lab.links[coordinator].v4[1]}" }}\n'
                 f'network {{ name = "home"  prefix = "{PREFIX4}"  prefix6 = "{PREFIX6}" }}\n'
                 f'relay {{ enabled = true  {self.relay} }}\n')
        for m in members if not isinstance(members, str) else ():
            text += (f'member "{m}" {{ public_key = "{self.keys[m].public}"  address = "{self.overlay(m)}"  '
                     f'address6 = "{self.overlay(m, six=True)}" }}\n')
        self._write(coordinator, text + (members if isinstance(members, str) else ""))

    def configure_peer(self, host, extra="", trust=None):
        text = self._common(host, "peer")
        if self.psk:
            text += f'psk_file = "{self.dir}/{host}.psk"\n'
        if self.trust if trust is None else trust:
            text += f'network_key = "{self.network.public}"\ncertificate_file = "{self.dir}/{host}.cert"\n'
        text += f'tun {{ name = "warren0" }}\n{extra}\n'
        for i, coordinator in enumerate(self.coordinators, 1):
            address = f"[{self.lab.ip6(coordinator)}]" if self.underlay == "6" else self.lab.ip(coordinator)
            text += (f'coordinator "c{i}" {{ endpoint = "{address}:27700"  '
                     f'public_key = "{self.keys[coordinator].public}" }}\n')
        self._write(host, text)

    def write_psk(self, *hosts):
        """One pre-shared key for all the hosts named."""
        psk = tool(PROGRAMS["warrenctl"], "key", "gen")
        for host in hosts:
            with open(os.open(f"{self.dir}/{host}.psk", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
                f.write(psk + "\n")

    def _write(self, host, text):
        with open(os.open(self.nodes[host].conf, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(text)

    # -- doing

    def start(self, *hosts, env=(), args=("--user", "root"), wait=True):
        """Starts daemons; with `wait`, until each answers on its control socket."""
        for host in hosts:
            self.nodes[host].start(env, args)
        for host in hosts if wait else ():
            wait_until(self.nodes[host].ready, 3 * FACTOR, f"{host}: warrend answers on its control socket")

    def relay_only(self):
        """From now on the router passes nothing but what goes to a coordinator or comes from it."""
        coord = "{" + ", ".join(a for c in self.coordinators for a in self.lab.links[c].v4) + "}"
        nft(self.lab.ns("inet"), "table inet relay_only { chain forward { type filter hook forward priority 0; policy accept;\n"
            f"ip saddr != {coord} ip daddr != {coord} drop\nmeta nfproto ipv6 drop\n}}\n}}\n")

    def ctl(self, host, *argv):
        return subprocess.run([PROGRAMS["warrenctl"], "-s", self.nodes[host].control, *argv], capture_output=True, text=True,
                              timeout=30)

    def popen_ctl(self, host, *argv):
        return subprocess.Popen([PROGRAMS["warrenctl"], "-s", self.nodes[host].control, *argv], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ctl_json(self, host, *argv):
        r = self.ctl(host, *argv, "--json")
        check(r.stdout.strip(), f"{host}: warrenctl {' '.join(argv)} --json said nothing (exit {r.returncode}): {r.stderr}")
        return json.loads(r.stdout)

    # -- asking

    def counters(self, host):
        return self.nodes[host].ask("status")["counters"]

    def counter(self, host, name):
        counters = self.counters(host)
        check(name in counters, f"{host}: status has no counter {name}")
        return counters[name]

    def peer(self, host, other):
        for p in self.nodes[host].ask("peers")["peers"]:
            if p["name"] == other:
                return p
        return None

    def path(self, host, other):
        """The path of `host` to `other`: a document with "kind"; {"kind": None} where there is none."""
        p = self.peer(host, other)
        return (p or {}).get("path") or {"kind": None}

    def kind(self, host, other):
        return self.path(host, other)["kind"]

    def ping(self, source, target, seconds, six=False, **kw):
        """Seconds to the first answer of an overlay address; None if there is none in time."""
        return first_answer(self.lab, source, self.overlay(target, six), seconds, **kw)

    def pinger(self, host, target, six=False, **kw):
        return Pinger(self.lab, host, self.overlay(target, six), **kw)

    def transfer(self, source, target, six=False, **kw):
        return Transfer(self.lab, source, target, self.overlay(target, six), **kw)

    def wait_registered(self, *hosts, within=5, at="coord"):
        """Until the coordinator has counted as many registrations as there are hosts; returns the time of the last."""
        wait_until(lambda: self.counter(at, "registrations") >= len(hosts), within,
                   f"{len(hosts)} registrations at the coordinator")
        return time.monotonic()

    def wait_path(self, a, b, kind, within, since=None):
        """Until both ends name a path of that kind to each other."""
        def both():
            return self.kind(a, b) == kind and self.kind(b, a) == kind
        try:
            wait_until(both, within, f"{a} and {b}: {kind}", since)
        except AssertionError as e:
            raise AssertionError(f"{e}; {a} has {self.path(a, b)}, {b} has {self.path(b, a)}") from None

    def link_bytes(self, host):
        """Bytes that a host's outer interface has sent and received."""
        link, = json.loads(sh("ip", "-netns", self.lab.ns(host), "-s", "-j", "link", "show", "eth0"))
        return link["stats64"]["tx"]["bytes"] + link["stats64"]["rx"]["bytes"]


def _cannot_run():
    if os.geteuid():
        return "needs root"
    for program in ("ip", "nft", "conntrack", "tc"):
        if not shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            return f"no {program}"
    if not os.path.exists("/dev/net/tun"):
        return "no /dev/net/tun"
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        return "no network namespaces"
    return None


def main(*cases):
    """Runs the cases (those named on the command line, or all), and exits: 0, 1 a case failed, 77 cannot run here."""
    why = _cannot_run()
    if why:
        print("skipped:", why)
        sys.exit(77)
    for name, path in PROGRAMS.items():
        if not os.access(path, os.X_OK):
            sys.exit(f"{path}: {name} is not built")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that the laboratory is torn down
    wanted, failed = sys.argv[1:], 0
    for case in cases:
        if wanted and case.__name__ not in wanted:
            continue
        begin = time.monotonic()
        try:
            case()
            result = "ok"
        except Exception as e:
            failed += 1
            result = "FAIL"
            if not isinstance(e, AssertionError):
                traceback.print_exc(file=sys.stdout)
            print(f"  {case.__name__}: {e}")
        print(f"{result:4} {case.__name__.replace('_', ' ')} ({time.monotonic() - begin:.1f} s)", flush=True)
    sys.exit(failed != 0)
