"""The command line"""
import argparse
import os
import signal
import subprocess
import sys

import natlab
from .delay import delay_main
from .lab import Lab, clean, labs, owned
from .matrix import matrix
from .probe import EXPECT
from .selftest import Selftest
from .sites import Cgn, Site, Uplink, options, parse
from .tools import netns


def common(p):
    p.add_argument("--site", action="append", default=[], metavar="NAME=KIND[,OPTION...]")
    p.add_argument("--cgn", action="append", default=[], metavar="NAME=KIND[,OPTION...]")
    p.add_argument("--coord", default="", metavar="OPTION[,...]")
    p.add_argument("--coord2", default="", metavar="OPTION[,...]")
    p.add_argument("--id")


def lab_of(a, **kw):
    return Lab([parse(Site, s) for s in a.site], [parse(Cgn, c) for c in a.cgn],
               Uplink("coord", **options(Uplink, a.coord.split(","))),
               Uplink("coord2", **options(Uplink, a.coord2.split(","))), id=a.id, **kw)


def main(argv):
    if argv[:1] == ["_delay"]:
        return delay_main(*argv[1:])
    rest = []
    if argv[:1] == ["run"] and "--" in argv:
        argv, rest = argv[:argv.index("--")], argv[argv.index("--") + 1:]
    ap = argparse.ArgumentParser(prog="natlab", description=natlab.__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="cmd", required=True)
    p = {c: sub.add_parser(c) for c in (
        "run", "up", "down", "list", "clean", "env", "exec", "kinds", "selftest", "matrix",
        "rebind", "cut", "uncut", "set", "carrier", "roam", "noise", "capture")}
    common(p["run"])
    common(p["up"])
    p["down"].add_argument("id", nargs="?", default=os.environ.get("NL_ID"))
    p["clean"].add_argument("--all", action="store_true")
    p["selftest"].add_argument("-k", default="")
    for c in ("env", "exec", "rebind", "cut", "uncut", "set", "carrier", "roam", "noise", "capture"):
        p[c].add_argument("--id", default=os.environ.get("NL_ID"))
    p["exec"].add_argument("host")
    p["exec"].add_argument("argv", nargs=argparse.REMAINDER)
    for c in ("rebind", "cut", "uncut", "set", "carrier", "roam", "noise", "capture"):
        p[c].add_argument("name")
    p["rebind"].add_argument("--addr")
    p["set"].add_argument("option", nargs="+")
    p["carrier"].add_argument("state", choices=("up", "down"))
    p["roam"].add_argument("site")
    p["noise"].add_argument("pps", type=float)
    p["noise"].add_argument("seconds", type=float)
    p["capture"].add_argument("file")
    p["capture"].add_argument("seconds", type=float)
    a = ap.parse_args(argv)

    if a.cmd == "run":
        for s in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, lambda n, f: sys.exit(128 + n))
        with lab_of(a) as lab:
            p = subprocess.Popen(rest, env={**os.environ, **lab.env()})
            try:
                return p.wait()
            except KeyboardInterrupt:
                return 130
            finally:
                if p.poll() is None:
                    p.terminate()
    if a.cmd == "up":
        lab = lab_of(a, keep=True)
        try:
            lab.build()
        except BaseException:
            lab.destroy()
            raise
        for k, v in lab.env().items():
            print(f"export {k}={v}")
        return 0
    if a.cmd == "list":
        for i in labs():
            lab = Lab.attach(i)
            print(i, "in use" if owned(i) else "stale",
                  *[f"{s.name}={s.kind}" for s in [*lab.sites.values(), *lab.cgns.values()]])
        return 0
    if a.cmd == "clean":
        return clean(a.all)
    if a.cmd == "kinds":
        for k, (m, f, keeps) in EXPECT.items():
            print(f"{k:11} mapping {m:5} filtering {f:5} port {'kept' if keeps else 'not kept'}")
        return 0
    if a.cmd == "selftest":
        return Selftest(a.k).run()
    if a.cmd == "matrix":
        return matrix()

    if not a.id:
        ap.error("which lab? give --id or set NL_ID")
    lab = Lab.attach(a.id)
    if a.cmd == "down":
        lab.destroy()
    elif a.cmd == "env":
        for k, v in lab.env().items():
            print(f"export {k}={v}")
    elif a.cmd == "exec":
        cmd = lab.argv(a.host, a.argv)
        os.execvpe(cmd[0], cmd, {**os.environ, **lab.env()})
    elif a.cmd == "rebind":
        lab.rebind(a.name, a.addr)
    elif a.cmd in ("cut", "uncut"):
        lab.set(a.name, cut=a.cmd == "cut")
    elif a.cmd == "set":
        lab.set(a.name, **options(Uplink, a.option))
    elif a.cmd == "carrier":
        lab.carrier(a.name, a.state == "up")
    elif a.cmd == "roam":
        lab.roam(a.name, a.site)
    elif a.cmd == "noise":
        lab.noise(a.name, a.pps, a.seconds)
    elif a.cmd == "capture":
        link = lab.links[a.name]
        with netns(link.up_ns):
            subprocess.run(["timeout", str(a.seconds), "tcpdump", "-qni", link.up_if, "-w", a.file])
    return 0

