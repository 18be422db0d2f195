#!/usr/bin/env python3
# ctest: timeout=90 beside
"""A broken configuration ends warrend with 78 within 1 s; it names file and line, and prints no secret.

Each key of warren.conf(5), which tests/check_manuals.sh compares with the daemon's own table, has at least one broken example that is
refused by its name: one that is new there fails this until it has.

No topology: warrend ends before it opens anything (in a network namespace of its own, in case it does not).
"""
import os
import re
import subprocess
import tempfile
import time

import manual
from harness import PROGRAMS, Key, check, main, tool

LIMIT = 1.0
PASSWORD = "correct-horse-battery"


def peer(d, swap=()):
    text = (f'role = peer\nname = "alice"\nprivate_key_file = "{d.key.path}"\ncontrol_socket = "{d.path}/c.sock"\n'
            f'state_dir = "{d.path}"\ntun {{ name = "warren0" }}\n'
            f'coordinator "c1" {{\n\tendpoint = "198.51.100.10:27700"\n\tpublic_key = "{d.key.public}"\n}}\n')
    return swapped(text, swap)


def coordinator(d, swap=()):
    text = (f'role = coordinator\nname = "c1"\nprivate_key_file = "{d.key.path}"\ncontrol_socket = "{d.path}/c.sock"\n'
            f'state_dir = "{d.path}"\nlisten {{ port = 27700 }}\nnetwork {{ name = "home"  prefix = "10.77.0.0/16" }}\n'
            f'member "alice" {{ public_key = "{d.key.public}"  address = "10.77.0.2" }}\n'
            f'member "bob" {{ public_key = "{d.other.public}"  address = "10.77.0.3" }}\n')
    return swapped(text, swap)


def swapped(text, pairs):
    for old, new in pairs:
        check(text.count(old) == 1, f"{old!r} is not once in the file")
        text = text.replace(old, new)
    return text


class Place:
    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="warren-")
        self.path = self.temporary.name
        self.key, self.other = Key(self.path + "/private.key"), Key(self.path + "/other.key")
        self.conf = self.path + "/home.conf"
        return self

    def __exit__(self, *exc):
        self.temporary.cleanup()

    def write(self, text):
        with open(self.conf, "w") as f:
            f.write(text)

    def run(self, *options):
        begin = time.monotonic()
        r = subprocess.run(["unshare", "-n", PROGRAMS["warrend"], *options, "-c", self.conf], capture_output=True, text=True, timeout=10)
        took = time.monotonic() - begin
        for secret in (self.key.secret, self.other.secret, PASSWORD):
            check(secret not in r.stdout + r.stderr, "a secret was printed")
        return r, took


def refused(text, *words, line=None, prepare=None):
    with Place() as d:
        if text:
            d.write(text(d))
        if prepare:
            prepare(d)
        for options in (["--check"], []):
            r, took = d.run(*options)
            check(r.returncode == 78, f"exit {r.returncode}, not 78: {r.stderr}")
            check(took < LIMIT, f"took {took:.2f} s")
            where = d.conf + (f":{line}:" if line else "")
            for word in (where, *words):
                check(word in r.stderr, f"{word!r} is not in: {r.stderr}")


def sound_files_pass():
    for text in (peer, coordinator):
        with Place() as d:
            d.write(text(d))
            r, _ = d.run("--check")
            check(r.returncode == 0, f"exit {r.returncode}: {r.stderr}")


def unknown_key():
    refused(lambda d: peer(d, swap=[("endpoint", "endpiont")]), "endpiont", '"endpoint"', line=8)


def bad_prefix():
    refused(lambda d: coordinator(d, swap=[("10.77.0.0/16", "10.77.0.0/61")]), "10.77.0.0/61", line=7)


def duplicate_address():
    refused(lambda d: coordinator(d, swap=[("10.77.0.3", "10.77.0.2")]), "10.77.0.2", line=9)


def duplicate_key():
    refused(lambda d: coordinator(d, swap=[(d.other.public, d.key.public)]), "bob", line=9)


def key_file_that_others_can_read():
    refused(peer, "private.key", prepare=lambda d: os.chmod(d.key.path, 0o644))


def missing_key_file():
    refused(peer, "private.key", prepare=lambda d: os.unlink(d.key.path))


def key_file_that_holds_no_key():
    def spoil(d):
        with open(d.key.path, "w") as f:
            f.write(d.key.secret[:20] + "\n")
        d.key.secret = d.key.secret[:20]  # not even part of it may be printed
    refused(peer, "private.key", prepare=spoil)


def missing_file():
    refused(None)


# ---------------------------------------------------------------- one fault after the other

def before(section, line):
    return section, f"{line}\n{section}"


def a(line):
    """A line more, in front of a peer's tun { }."""
    return before("tun {", line)


def c(line):
    """A line more, in front of a coordinator's network { }."""
    return before("network {", line)


ENDPOINT, PREFIX, ADDRESS = 'endpoint = "198.51.100.10:27700"', 'prefix = "10.77.0.0/16"', 'address = "10.77.0.2"'
KEYS = 'network_key = "NETWORK"\ncertificate_file = "DIR/cert"'

# What stands in a sound file, what in its place, and words of the message. PUBLIC, NETWORK, DIR are filled in.
PEER_FAULTS = [
    ("role = peer", "role = pear", "neither peer nor coordinator"),
    ('name = "alice"', 'name = "Alice"', "is no name"),
    ('name = "alice"', 'name = "al\x01ice"', "no text"),
    ('name = "alice"', f'name = "{"a" * 64}"', "longer than 63"),
    ('name = "alice"', 'name "alice"', "equal sign"),
    ('private_key_file = "DIR/private.key"', 'private_key_file = "SECRET"', "takes the name of a file"),
    ('private_key_file = "DIR/private.key"', 'private_key_file = "DIR/none"', "private key", "no such file"),
    ('private_key_file = "DIR/private.key"', 'privat_key_file = "SECRET"', '"private_key_file"'),
    ('control_socket = "DIR/c.sock"', 'SECRET = "x"', "not shown"),
    (*a(f'state_dir = "/{"x" * 5000}"'), "too long for a file's name"),
    ('name = "alice"', 'name = "alice', "not closed on its line"),
    (*a("workers = 9"), "no number from 0 to 8"),
    (*a("workers = -1"), "no number from 0 to 8"),
    (*a("offload = maybe"), "neither auto nor off"),
    (*a("ciphers = {rot13}"), "no cipher"),
    (*a("compression = zip"), "neither off, auto nor on"),
    (*a("log_level = loud"), "none of error, warn, info, debug"),
    (*a('on_mapping_change = "hook.sh"'), "begins with /"),
    (*a('stun = {"a", "b", "c", "d", "e"}'), "one endpoint too many"),
    (*a('stun = {"stun.example.org:0"}'), "no port from 1 to 65535"),
    (*a('proxy = "socks5://h:1080"'), "no HTTP proxy"),
    (*a(f'proxy = "http://user:{PASSWORD}@h:3128"'), "proxy_auth_file"),
    (*a('proxy = "http://h:99999"'), "no port"),
    (*a('proxy = "http://"'), "no port"),
    (*a('proxy_auth_file = "/nonexistent/login"'), "login of the proxy", "no such file"),
    (*a('proxy_auth_file = "DIR/empty"'), "login of the proxy"),
    (*a('proxy_auth_file = "DIR/login"'), "login of the proxy", "chmod 600"),
    (*a('network_key = "short"'), "no network key"),
    (*a('network_key = "NETWORK"'), "certificate_file"),
    (*a('certificate_file = "DIR/cert"'), "network_key"),
    (*a('proxy_auth_file = "SECRET"'), "takes the name of a file"),
    (*a('psk_file = "SECRET"'), "takes the name of a file"),
    (*a('psk_file = "/nonexistent/psk"'), "pre-shared key", "no such file"),
    (*a('psk_file = "DIR/empty"'), "pre-shared key"),
    (*a('psk_file = "DIR"'), "pre-shared key"),
    (*a('psk_file = "DIR/login"'), "pre-shared key", "chmod 600"),
    (*a("listen { port = 65536 }"), "no port"),
    (*a('listen { address = "10.0.0" }'), "no IP address"),
    (*a('listen { address = "224.0.0.1" }'), "no address of a host"),
    (*a('listen { bind_interface = "a-name-that-is-long" }'), "no interface's name"),
    (*a("listen { portmap = perhaps }"), "neither auto nor off"),
    (*a('listen { public_endpoint = {"nowhere"} }'), "no port"),
    (*a("listen { tcp_ports = {443} }"), "for a coordinator"),
    (*a('metrics { listen = "0.0.0.0:9586" }'), "no address of the loopback"),
    (*a('metrics { listen = "SECRET" }'), "neither a path"),
    (*a("metrics { peer_labels = perhaps }"), "neither true nor false"),
    ('name = "warren0"', 'name = "war/ren"', "no interface's name"),
    ('name = "warren0"', "mtu = 1000", "from 1280 to 9000"),
    (ENDPOINT, 'endpoint = "198.51.100.10:"', "no port"),
    (ENDPOINT, 'endpoint = ""', "is empty"),
    (ENDPOINT, 'colour = "blue"', '"colour"'),
    ('public_key = "PUBLIC"', 'public_key = "PUBLICAAAA"', "no public key"),
    ('coordinator "c1" {', "coordinator {", "title"),
    (*a('peer "bob" { path = fast }'), "neither auto, direct nor relay"),
    (*a('peer "bob" { routes = {"192.168.7.0"} }'), "no prefix"),
    (*a('peer "bob" { routes = {"10.0.0.0/7"} }'), "too wide"),
    (*a('routes = {"192.168.7.1/24"}'), "bits set behind its length"),
    (*a('routes = {"0.0.0.0/0"}'), "no peer is a way to the whole Internet"),
    (*a('member "bob" { }'), "for a coordinator"),
    (*a('include("/nonexistent.conf")'), "No such file"),
    (*a("/* never"), "comment begins here"),
    (*a("}"), "closing brace"),
    (*a(f'control_socket = "/{"x" * 120}"'), "too long for a socket"),
]
COORDINATOR_FAULTS = [
    (PREFIX, 'prefix = "10.77.0.0"', "no IPv4 prefix"),
    (PREFIX, 'prefix = "fd77::/64"', "prefix6"),
    (PREFIX, 'prefix = "none"  prefix6 = "none"', "no addresses"),
    ('name = "home"  ', "", "network.name is missing"),
    ("port = 27700", "port = 0", "listen.port is 0"),
    ("port = 27700", "port = 27700  alternate_port = 27700", "same as listen.port"),
    ("port = 27700", "port = 27700  tcp_ports = {0}", "tcp_ports"),
    ("port = 27700", 'port = 27700  alternate_address = "224.0.0.1"', "no address of a host"),
    ("port = 27700", "port = 27700  stun = perhaps", "neither true nor false"),
    (PREFIX, f'{PREFIX}  prefix6 = "fd77::1/64"', "bits set"),
    ('public_key = "PUBLIC"', 'public_key = "PUBLI"', "no public key"),
    (ADDRESS, 'address = "here"', "no IP address"),
    (ADDRESS, f'{ADDRESS}  address6 = "there"', "no IP address"),
    (ADDRESS, 'address = "10.78.0.2"', "outside of network.prefix"),
    (ADDRESS, 'address = "10.77.255.255"', "reserved"),
    (ADDRESS, 'address = "fd77::2"', "address6"),
    (ADDRESS, 'address6 = "10.77.0.2"', "IPv4 address"),
    ('member "bob"', 'member "alice"', "twice"),
    ('member "bob"', 'member "b_b"', "is no name"),
    (*c('relay { rate_per_peer = "fast" }'), "no rate"),
    (*c('relay { rate_per_peer = "2Gbit"  rate_total = "1Gbit" }'), "rate_total"),
    (*c("relay { packets_per_peer = 0 }"), "no number from 1"),
    (*c("relay { enabled = perhaps }"), "neither true nor false"),
    (*c('psk_file = "x"'), "for a peer"),
    (*c('tun { name = "w" }'), "for a peer"),
    (*c("relay enabled = yes"), "opening brace"),
]


def fill(text, d):
    for word, value in (("PUBLIC", d.key.public), ("SECRET", d.key.secret), ("NETWORK", d.network.public), ("DIR", d.path)):
        text = text.replace(word, value)
    return text


def blamed(message):
    """The key that a message is about: 'listen.port: ...', 'public_key of member "bob" ...', 'workers ...'."""
    found = re.match(r'(?:(\w+)\.)?(\w+)(?: of (\w+) ")?', message)
    return found and (found[1] or found[3] or "", found[2])


def each_of_many_faults_is_named_with_its_line():
    done, named = set(), set()
    with Place() as d:
        d.network = Key(d.path + "/network.key", "--network")
        for name, text, mode in (("empty", "\n", 0o600), ("login", f"user:{PASSWORD}\n", 0o644)):
            with open(f"{d.path}/{name}", "w") as f:
                f.write(text)
            os.chmod(f"{d.path}/{name}", mode)
        for base, faults in ((peer, PEER_FAULTS), (coordinator, COORDINATOR_FAULTS)):
            for old, new, *words in faults:
                old, new = fill(old, d), fill(new, d)
                sound = base(d)
                text = swapped(sound, [(old, new)])
                line = 1 + sound[:sound.index(old)].count("\n")
                d.write(text)
                r, took = d.run("--check")
                said = f"{new!r}: exit {r.returncode} after {took:.2f} s: {r.stderr}"
                check(r.returncode == 78 and took < LIMIT, said)
                check(r.stderr.startswith(f"{d.conf}:{line}: ") and all(w in r.stderr for w in words), f"{said} (line {line}, {words})")
                check(r.stderr[:-1].isprintable(), said)  # one line
                done.add((old, new))
                named.add(blamed(r.stderr[len(f"{d.conf}:{line}: "):]))
    check(len(done) >= 80, f"only {len(done)} faults")
    lacking = manual.keys(("reload", "restart"), 40) - named
    check(not lacking, f"keys without a broken example that names them: {sorted(lacking)}")


def certificate_that_is_none_of_ours():
    """Not there, no certificate, of another network, of another node."""
    with Place() as d:
        d.network, stranger = Key(d.path + "/network.key", "--network"), Key(d.path + "/stranger.key", "--network")
        d.write(peer(d, swap=[("tun {", fill(KEYS, d) + "\ntun {")]))

        def sign(signer, node, name):
            return tool(PROGRAMS["warrenctl"], "cert", "sign", name, "--signing-key", signer.path, "--public-key", node.public,
                        "--ip", "10.77.0.2")
        for text, word in ((None, "No such file"), ("nonsense", "certificate"), (sign(stranger, d.key, "alice"), "certificate"),
                           (sign(d.network, d.other, "alice"), "key"), (sign(d.network, d.key, "bob"), "bob")):
            if text:
                with open(d.path + "/cert", "w") as f:
                    f.write(text + "\n")
            r, took = d.run("--check")
            check(r.returncode == 78 and took < LIMIT, f"exit {r.returncode}: {r.stderr}")
            check(r.stderr.startswith(f"{d.conf}:7: ") and word in r.stderr, r.stderr)
        with open(d.path + "/cert", "w") as f:
            f.write(sign(d.network, d.key, "alice") + "\n")
        r, _ = d.run("--check")
        check(r.returncode == 0, r.stderr)


main(sound_files_pass, unknown_key, bad_prefix, duplicate_address, duplicate_key, key_file_that_others_can_read, missing_key_file,
     key_file_that_holds_no_key, missing_file, each_of_many_faults_is_named_with_its_line, certificate_that_is_none_of_ours)
