"""What is measured: warren in its variants, the floor program, and the VPNs that Debian has, each started in the same three hosts

Every one has two nodes, a1 and b1, which reach each other directly through the router, and where it needs one or can relay through
it a third in "coord". Each has the smallest configuration that works, its default cipher (Nebula and fastd: the fastest they have), and
its own default MTU.

    vpn = Wireguard(mesh); vpn.start(relayed=False); ... vpn.target ...; vpn.stop()"""
import contextlib
import os
import shutil
import signal
import subprocess
import time

from harness import PROGRAMS, check, sh, wait_until

START_SECONDS = 20  # n2n 1 may need that long to find its direct path
STOP_SECONDS = 5
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
HOSTS = ("a1", "b1")


class Vpn:
    name = cipher = ""
    programs = packages = ()
    can_relay = False
    net = ""  # first three numbers of the overlay addresses: .1 coord, .2 a1, .3 b1

    def __init__(self, mesh):
        self.mesh, self.lab, self.processes = mesh, mesh.lab, {}
        self.dir = os.path.join(mesh.dir, self.name)
        os.makedirs(self.dir, mode=0o700, exist_ok=True)
        self.is_prepared = False

    @classmethod
    def missing(cls):
        return [p for p in cls.programs if not shutil.which(p, path=PATH)]

    def version(self):
        """The Debian package and its version."""
        r = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", self.packages[0]], capture_output=True, text=True)
        return r.stdout.strip() or "not a Debian package"

    def address(self, host):
        return f"{self.net}.{('coord', *HOSTS).index(host) + 1}"

    @property
    def target(self):
        return self.address("b1")

    def other(self, host):
        return HOSTS[1 - HOSTS.index(host)]

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text, mode=0o600):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as f:
            f.write(text)
        return path

    def run(self, host, *argv, **env):
        """Starts a daemon of this VPN in a host."""
        with open(self.path(f"{host}.log"), "ab") as log:
            self.processes[host] = self.lab.popen(host, list(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir,
                                                  env={**os.environ, "PATH": PATH, **env})

    def ip(self, host, *argv):
        return sh("ip", "-netns", self.lab.ns(host), *argv, check=False)

    def give_address(self, host, device):
        wait_until(lambda: self.ip(host, "link", "show", device), 5, f"{self.name}: {device} in {host}")
        self.ip(host, "address", "replace", f"{self.address(host)}/24", "dev", device)
        self.ip(host, "link", "set", device, "up")

    def prepare(self):
        """Writes keys and configuration; once."""

    def launch(self, relayed):
        """Starts the daemons."""
        raise NotImplementedError

    def start(self, relayed=False):
        if not self.is_prepared:
            self.prepare()
            self.is_prepared = True
        self.launch(relayed)
        wait_until(self.answers, START_SECONDS, f"{self.name}: {self.target} answers")

    def answers(self):
        for host, process in self.processes.items():
            check(process.poll() is None, f"{self.name}: the daemon in {host} ended with {process.returncode}")
        r = self.lab.run("a1", ["ping", "-n", "-c", "1", "-W", "1", self.target], capture_output=True)
        return r.returncode == 0

    def pid(self, host):
        process = self.processes.get(host)
        return process.pid if process else None

    def stop(self):
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        end = time.monotonic() + STOP_SECONDS
        for process in self.processes.values():
            try:
                process.wait(max(0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = {}

    def log_tail(self):
        """What the daemons said last, for a failure's report."""
        out = []
        for host in ("coord", *HOSTS):
            with contextlib.suppress(FileNotFoundError), open(self.path(f"{host}.log"), errors="replace") as f:
                out += [f"{host}: {line}" for line in f.read().splitlines()[-5:]]
        return out


# ---------------------------------------------------------------- our own

class Warren(Vpn):
    name = "warren"
    packages = ("warren",)
    can_relay = True
    disable = ""

    @classmethod
    def missing(cls):
        return [p for p in PROGRAMS.values() if not os.access(p, os.X_OK)]

    def version(self):
        return sh(PROGRAMS["warrend"], "--version").strip()

    @property
    def target(self):
        return self.mesh.overlay("b1")

    def start(self, relayed=False):
        hosts = ("coord", *HOSTS)
        self.mesh.start(*hosts, env={"WARREN_DISABLE": self.disable} if self.disable else {})
        self.processes = {host: self.mesh.nodes[host].process for host in hosts}
        self.mesh.wait_registered(*HOSTS)
        wait_until(self.answers, START_SECONDS, f"{self.name}: {self.target} answers")
        self.mesh.wait_path(*HOSTS, "relay" if relayed else "direct", within=5)
        if relayed:
            for host in HOSTS:
                path = self.mesh.path(host, self.other(host))
                check(path["transport"] == "udp", f"{self.name}: relayed over {path}")

    def about(self):
        """What the daemon says of the cipher and the offloads in force."""
        status = self.mesh.nodes["a1"].ask("status")
        return {k: status[k] for k in ("workers", "ciphers", "offload") if k in status}

    def stop(self):
        faults = []
        self.processes = {}
        for host in (*HOSTS, "coord"):
            if self.mesh.nodes[host].process:
                try:
                    self.mesh.nodes[host].stop()
                except AssertionError as e:
                    faults.append(str(e))
        check(not faults, "; ".join(faults))

    def log_tail(self):
        return [f"{host}: {line}" for host in ("coord", *HOSTS) for line in self.mesh.nodes[host].log().splitlines()[-5:]]


class WarrenLibsodium(Warren):
    """Without intel-ipsec-mb: what every machine but x86-64 has."""
    name = "warren-libsodium"
    disable = "ipsec-mb"


class WarrenPlain(Warren):
    """Every fallback at once."""
    name = "warren-plain"
    disable = "reuseport,multiqueue,gso,gro,vnet"


class Floor(Vpn):
    """The bench-only program: the same data path with a fixed key and nothing else."""
    name = "floor"
    cipher = "aes-256-gcm"
    net = "10.89.0"
    program = os.path.join(os.path.dirname(PROGRAMS["warrend"]), "tests/bench_floor")

    @classmethod
    def missing(cls):
        return [] if os.access(cls.program, os.X_OK) else [cls.program]

    def version(self):
        return "bench-only"

    def launch(self, relayed):
        for host in HOSTS:
            self.run(host, self.program, "floor0", f"{self.lab.ip(host)}:4000", f"{self.lab.ip(self.other(host))}:4000")
            self.give_address(host, "floor0")


# ---------------------------------------------------------------- the others

class Wireguard(Vpn):
    name = "wireguard-go"
    cipher = "chacha20-poly1305"
    programs = ("wireguard-go", "wg")
    packages = ("wireguard-go", "wireguard-tools")
    net = "10.81.0"

    def device(self, host):  # its control socket has this name in a directory that namespaces share
        return f"{self.lab.id}{host}"

    def prepare(self):
        self.keys = {}
        for host in HOSTS:
            secret = sh("wg", "genkey")
            self.keys[host] = (secret.strip(), sh("wg", "pubkey", input=secret).strip())
        for host in HOSTS:
            other = self.other(host)
            self.write(f"{host}.conf", f"[Interface]\nPrivateKey = {self.keys[host][0]}\nListenPort = 51820\n[Peer]\n"
                       f"PublicKey = {self.keys[other][1]}\nEndpoint = {self.lab.ip(other)}:51820\n"
                       f"AllowedIPs = {self.address(other)}/32\n")

    def launch(self, relayed):
        for host in HOSTS:
            device = self.device(host)
            self.run(host, "wireguard-go", "-f", device, WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD="1")
            wait_until(lambda d=device: os.path.exists(f"/run/wireguard/{d}.sock"), 5, f"{self.name}: its control socket")
            self.lab.run(host, ["wg", "setconf", device, self.path(f"{host}.conf")], check=True)
            self.give_address(host, device)

    def stop(self):
        super().stop()
        for host in HOSTS:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"/run/wireguard/{self.device(host)}.sock")


class Nebula(Vpn):
    name = "nebula"
    cipher = "aes-256-gcm"
    programs = ("nebula", "nebula-cert")
    packages = ("nebula",)
    can_relay = True
    net = "10.82.0"

    def prepare(self):
        sh("nebula-cert", "ca", "-name", "bench", "-out-crt", self.path("ca.crt"), "-out-key", self.path("ca.key"))
        for host in ("coord", *HOSTS):
            sh("nebula-cert", "sign", "-ca-crt", self.path("ca.crt"), "-ca-key", self.path("ca.key"), "-name", host,
               "-ip", f"{self.address(host)}/24", "-out-crt", self.path(f"{host}.crt"), "-out-key", self.path(f"{host}.key"))
            for relayed in (False, True):
                self.write(f"{host}-{relayed}.yml", self.configuration(host, relayed))

    def configuration(self, host, relayed):
        known, is_coord = "coord" if relayed else self.other(host) if host != "coord" else "a1", host == "coord"
        text = (f"pki: {{ca: {self.path('ca.crt')}, cert: {self.path(host + '.crt')}, key: {self.path(host + '.key')}}}\n"
                f"cipher: aes\nlisten: {{host: 0.0.0.0, port: 4242}}\ntun: {{dev: nebula0}}\nlogging: {{level: info}}\n"
                "firewall: {outbound: [{port: any, proto: any, host: any}], inbound: [{port: any, proto: any, host: any}]}\n")
        if is_coord:
            return text + "static_host_map: {}\nlighthouse: {am_lighthouse: true}\nrelay: {am_relay: true, use_relays: true}\n"
        text += f'static_host_map: {{"{self.address(known)}": ["{self.lab.ip(known)}:4242"]}}\n'
        if relayed:
            return text + (f'lighthouse: {{am_lighthouse: false, interval: 5, hosts: ["{self.address("coord")}"]}}\n'
                           f'relay: {{am_relay: false, use_relays: true, relays: ["{self.address("coord")}"]}}\n')
        return text + "lighthouse: {am_lighthouse: false, hosts: []}\n"

    def launch(self, relayed):
        for host in ("coord", *HOSTS) if relayed else HOSTS:
            self.run(host, "nebula", "-config", self.path(f"{host}-{relayed}.yml"))


class Tinc(Vpn):
    name = "tinc"
    cipher = "aes-256-cbc, sha256"  # 1.0 has no AEAD
    programs = ("tincd", "openssl")
    packages = ("tinc", "openssl")
    can_relay = True
    net = "10.83.0"

    def prepare(self):
        hosts = ("coord", *HOSTS)
        for host in hosts:
            secret = sh("openssl", "genrsa", "-traditional", "2048")
            public = sh("openssl", "rsa", "-RSAPublicKey_out", input=secret)
            self.write(f"{host}/rsa_key.priv", secret)
            self.write(f"{host}/tinc-up", f"#!/bin/sh\nip link set $INTERFACE up\nip address add {self.address(host)}/24 dev $INTERFACE\n",
                       mode=0o700)
            for at in hosts:
                self.write(f"{at}/hosts/{host}", f"Address = {self.lab.ip(host)}\nSubnet = {self.address(host)}/32\n{public}")

    def launch(self, relayed):
        hosts = ("coord", *HOSTS) if relayed else HOSTS
        for host in hosts:
            to = "" if host == hosts[0] else f"ConnectTo = {hosts[0]}\n"
            self.write(f"{host}/tinc.conf", f"Name = {host}\nInterface = tinc0\n{to}")
            self.run(host, "tincd", "-D", "-c", self.path(host), "--pidfile", self.path(f"{host}.pid"))


class N2n(Vpn):
    name = "n2n"
    cipher = "twofish"
    programs = ("edge", "supernode")
    packages = ("n2n",)
    can_relay = True
    net = "10.84.0"

    def launch(self, relayed):
        self.run("coord", "supernode", "-l", "7654")
        for i, host in enumerate(HOSTS):
            self.run(host, "edge", "-d", "n2n0", "-a", self.address(host), "-c", "bench", "-k", "a key of the bench", "-p", "50001",
                     "-m", f"DE:AD:BE:EF:01:0{i}", "-l", f"{self.lab.ip('coord')}:7654")
            self.give_address(host, "n2n0")


class Fastd(Vpn):
    name = "fastd"
    cipher = "salsa2012+umac"  # the fastest of those that encrypt, by little: its calls of the kernel cost more than any of them
    programs = ("fastd",)
    packages = ("fastd",)
    net = "10.85.0"

    def prepare(self):
        keys = {}
        for host in HOSTS:
            lines = dict(line.split(": ") for line in sh("fastd", "--generate-key").lower().splitlines() if ": " in line)
            keys[host] = (lines["secret"], lines["public"])
        for host in HOSTS:
            other = self.other(host)
            self.write(f"{host}.conf", f'mode tun;\ninterface "fastd0";\nbind {self.lab.ip(host)}:10000;\n'
                       f'method "{self.cipher}";\nsecret "{keys[host][0]}";\nlog level warn;\n'
                       f'peer "{other}" {{ key "{keys[other][1]}"; remote {self.lab.ip(other)}:10000; }}\n')

    def launch(self, relayed):
        for host in HOSTS:
            self.run(host, "fastd", "-c", self.path(f"{host}.conf"))
            self.give_address(host, "fastd0")


class Openvpn(Vpn):
    name = "openvpn"
    cipher = "aes-256-gcm"
    programs = ("openvpn", "openssl")
    packages = ("openvpn", "openssl")
    net = "10.86.0"

    def prepare(self):
        prints = {}
        for host in HOSTS:
            sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
               "-subj", f"/CN={host}", "-keyout", self.path(f"{host}.key"), "-out", self.path(f"{host}.crt"))
            shown = sh("openssl", "x509", "-in", self.path(f"{host}.crt"), "-noout", "-fingerprint", "-sha256")
            prints[host] = shown.strip().split("=")[1]
        for host in HOSTS:
            other = self.other(host)
            role = "tls-server\ndh none" if host == "b1" else "tls-client"
            self.write(f"{host}.conf", f"{role}\ndev tun0\ndev-type tun\nproto udp\nlocal {self.lab.ip(host)}\nport 1194\n"
                       f"remote {self.lab.ip(other)} 1194\nifconfig {self.address(host)} {self.address(other)}\n"
                       f"cert {self.path(host + '.crt')}\nkey {self.path(host + '.key')}\npeer-fingerprint {prints[other]}\n"
                       "data-ciphers AES-256-GCM\ndisable-dco\nverb 1\n")

    def launch(self, relayed):
        for host in HOSTS:
            self.run(host, "openvpn", "--config", self.path(f"{host}.conf"))


OWN = (Warren, WarrenLibsodium, WarrenPlain, Floor)
PEERS = (Wireguard, Nebula, Tinc, N2n, Fastd, Openvpn)
EVERY = OWN + PEERS
