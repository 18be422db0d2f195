#!/usr/bin/env python3
# ctest: timeout=60 beside
"""A broken configuration ends warrend with 78 within 1 s; it names file and line, and prints no secret.

No topology: warrend ends before it opens anything (in a network namespace of its own, in case it does not).
"""
import os
import subprocess
import tempfile
import time

from harness import PROGRAMS, Key, check, main

LIMIT = 1.0


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
        for key in (self.key, self.other):
            check(key.secret not in r.stdout + r.stderr, "a secret was printed")
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


main(sound_files_pass, unknown_key, bad_prefix, duplicate_address, duplicate_key, key_file_that_others_can_read, missing_key_file,
     key_file_that_holds_no_key, missing_file)
