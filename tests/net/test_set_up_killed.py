#!/usr/bin/env python3
# ctest: timeout=120
"""init and join leave all of their files or none that counts, whenever they are killed; and calling them again ends it well.

    no network: warrenctl, a directory, and SIGKILL in the middle of what it does there

WARREN_ROUNDS makes more of both: 25 rounds each."""
import json
import os
import random
import re
import shutil
import subprocess
import tempfile
import time

from harness import PROGRAMS, check, main, tool

ROUNDS = int(os.environ.get("WARREN_ROUNDS", "25"))
WARRENCTL = PROGRAMS["warrenctl"]


class Directory:
    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="warren-")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)

    def names(self):
        return sorted(os.listdir(self.path))

    def read(self, name):
        with open(f"{self.path}/{name}") as f:
            return f.read()

    def run(self, *argv, text=""):
        return subprocess.run([WARRENCTL, *argv, "--dir", self.path], input=text, capture_output=True, text=True, timeout=30)

    def killed(self, seconds, *argv, text=""):
        """Starts it, and kills it so long after it began to write; False: it had ended before."""
        before = set(os.listdir(self.path))
        process = subprocess.Popen([WARRENCTL, *argv, "--dir", self.path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, text=True)
        process.stdin.write(text)
        process.stdin.close()
        while process.poll() is None and set(os.listdir(self.path)) == before:
            pass
        time.sleep(seconds)
        process.kill()
        return process.wait() < 0


def time_of_writing(argv, text=""):
    """Seconds from the first thing in the directory to the end, not disturbed; the shortest of some."""
    return min(timed(argv, text) for _ in range(5))


def timed(argv, text):
    with Directory() as d:
        process = subprocess.Popen([WARRENCTL, *argv, "--dir", d.path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, text=True)
        process.stdin.write(text)
        process.stdin.close()
        while process.poll() is None and not d.names():
            pass
        begin = time.monotonic()
        check(process.wait() == 0, f"{argv[0]} does what it shall when nobody kills it")
        return time.monotonic() - begin


INIT = ("init", "home", "--coordinator", "c1.example.net:4000")
NETWORK = ["home.conf", "home.key", "home.network", "home.network-key"]


def check_network(d):
    """All that belongs together does."""
    network = json.loads(d.read("home.network"))
    public = tool(WARRENCTL, "key", "pub", "--network", text=d.read("home.network-key"))
    check(network["network_key"] == public and f'network_key = "{public}"' in d.read("home.conf"), "one network key everywhere")
    check(network["coordinators"][0]["public_key"] == tool(WARRENCTL, "key", "pub", text=d.read("home.key")), "and one coordinator's")
    check(os.stat(f"{d.path}/home.conf").st_mode & 0o777 == 0o640, "the service can read its file")
    check(os.stat(f"{d.path}/home.network-key").st_mode & 0o777 == 0o600, "and nobody the network key")


def init_is_killed_and_called_again():
    shortest, kills, whole_aside, moving = time_of_writing(INIT), 0, 0, 0
    for _ in range(ROUNDS):
        with Directory() as d:
            keys = set()
            for _ in range(3):
                if not d.killed(random.uniform(0, shortest * 1.5), *INIT):
                    break
                if "home.network-key" in d.names():
                    keys.add(d.read("home.network-key"))
                if "home.conf" in d.names():
                    check(set(NETWORK) <= set(d.names()), f"where the daemon's file is, all is: {d.names()}")
                    break
                kills += 1
                whole_aside += ".home.init" in d.names()
                moving += "home.network-key" in d.names()
            whole = "home.conf" in d.names()
            r = d.run(*INIT)
            check(r.returncode == 0 or (whole and "is there already; nothing was changed" in r.stderr), f"{r.stderr} in {d.names()}")
            check(r.returncode or "Network \"home\" is made" in r.stdout, f"it says what is made: {r.stdout}")
            check(d.names() == NETWORK, f"nothing else is left: {d.names()}")
            check(keys <= {d.read("home.network-key")}, "a network key that was there is never another one")
            check_network(d)
            invited = d.run("invite", "alice")
            check(invited.returncode == 0, f"it serves: {invited.stderr}")
    print(f"  {kills} kills in the middle in {ROUNDS} rounds, {whole_aside} when all was written, {moving} when it was being moved; "
          f"{shortest * 1000:.0f} ms to write")
    check(kills > ROUNDS // 10, "the kills come when something is written")


def what_was_asked_for_is_what_there_is():
    """The files of a killed call were whole; one with other settings finishes them, and says that they are not its own."""
    with Directory() as d, Directory() as other:
        check(other.run(*INIT).returncode == 0, "a network")
        os.mkdir(f"{d.path}/.home.init")
        for name in NETWORK[:3]:
            shutil.copy(f"{other.path}/{name}", f"{d.path}/.home.init/{name}")
        shutil.copy(f"{other.path}/home.network-key", d.path)  # that one was moved
        r = d.run("init", "home", "--coordinator", "elsewhere.example.net")
        check(r.returncode == 1 and "with other settings" in r.stderr, f"exit {r.returncode}: {r.stderr}")
        check(d.names() == NETWORK, f"it is finished all the same: {d.names()}")
        check_network(d)
        check("is there already" in d.run(*INIT).stderr, "and there is no second one")
        # Somebody's key is not replaced, whatever else lies there.
        os.mkdir(f"{other.path}/.home.init")
        with open(f"{other.path}/.home.init/home.network-key", "w") as f:
            f.write("another\n")
        before = other.read("home.network-key")
        r = other.run(*INIT)
        check(r.returncode == 1 and "is there already, and is not overwritten" in r.stderr, f"exit {r.returncode}: {r.stderr}")
        check(other.read("home.network-key") == before, "the network key is what it was")


def join_is_killed_and_called_again():
    with Directory() as network:
        check(network.run(*INIT).returncode == 0, "a network")
        url = network.run("invite", "alice").stdout
        shortest, begun = time_of_writing(("join", "-"), url), 0
        for _ in range(ROUNDS):
            with Directory() as d:
                whole = not d.killed(random.uniform(0, shortest * 1.5), "join", "-", text=url)
                check("home.conf" not in d.names() or {"home.cert", "home.key"} <= set(d.names()),
                      f"where the daemon's file is, all is: {d.names()}")
                begun += bool(d.names()) and "home.conf" not in d.names()
                r = d.run("join", "-", text=url)
                check(r.returncode == 0 and re.search(r"home\.conf is written, for alice", r.stderr),
                      f"exit {r.returncode}: {r.stderr} in {d.names()}, whole {whole}")
                check(d.names() == ["home.cert", "home.conf", "home.key"], f"nothing else is left: {d.names()}")
                shown = tool(WARRENCTL, "cert", "show", f"{d.path}/home.cert")
                check(tool(WARRENCTL, "key", "pub", text=d.read("home.key")) in shown, "the certificate is this key's")
                for name in ("home.cert", "home.conf"):
                    check(os.stat(f"{d.path}/{name}").st_mode & 0o777 == 0o640, f"the service can read {name}")
        # Another URL is another matter.
        with Directory() as d:
            check(d.run("join", "-", text=url).returncode == 0, "alice joins")
            r = d.run("join", "-", text=network.run("invite", "bob").stdout)
            check(r.returncode == 1 and "is there already; nothing was changed" in r.stderr, f"exit {r.returncode}: {r.stderr}")
        print(f"  {begun} of {ROUNDS} were killed in the middle; {shortest * 1000:.0f} ms to write")
        check(begun > ROUNDS // 10, "the kills come when something is written")


main(init_is_killed_and_called_again, what_was_asked_for_is_what_there_is, join_is_killed_and_called_again)
