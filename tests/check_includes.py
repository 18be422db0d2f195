#!/usr/bin/env python3
"""python3 tests/check_includes.py [ROOT]: holds the directions in which the sources may include each other.

Includes are written from the root. They stay within a directory or point down to one of those named here; libuv belongs to
the adapters and the roles."""
import pathlib
import re
import sys

LEAVES = {"daemon/base", "crypto", "tun"}
BELOW_DECISIONS = {"daemon/base", "daemon/wire", "crypto"}
DECISIONS = {"daemon/path", "daemon/relay", "daemon/config", "daemon/peer"}
MAY = {
    **{leaf: set() for leaf in LEAVES},
    "daemon/wire": {"daemon/base", "crypto"},
    "daemon/path": BELOW_DECISIONS,
    "daemon/relay": BELOW_DECISIONS,
    "daemon/config": BELOW_DECISIONS,
    "daemon/peer": BELOW_DECISIONS | DECISIONS,
    "daemon/net": BELOW_DECISIONS | DECISIONS | {"tun"},
    "daemon/control": BELOW_DECISIONS | DECISIONS,
    "ctl": {"crypto", "daemon/base", "daemon/wire"},  # it makes and shows certificates
}
ADAPTERS = {"daemon/net", "daemon/control"}
for role in ("daemon/coordinator", "daemon/data"):
    MAY[role] = BELOW_DECISIONS | DECISIONS | ADAPTERS | {"tun"}
MAY["daemon"] = set(MAY) - {"daemon", "ctl"}
FILES = {"ctl": {"daemon/control/proto.h"}}  # single headers, besides whole directories
LIBUV = ADAPTERS | {"daemon", "daemon/coordinator", "daemon/data"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def faults(root, path):
    own = path.parent.relative_to(root).as_posix()
    if own not in MAY:
        yield 0, f"{own}/ is no directory of the layout"
        return
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        bracket, name = found.groups()
        if bracket == "<":
            if name == "uv.h" and own not in LIBUV:
                yield number, f"{own}/ may not use libuv"
            continue
        if "/" not in name or not (root / name).is_file():
            yield number, f'"{name}" is not a header of the project, written from its root'
            continue
        target = name.rsplit("/", 1)[0]
        if target != own and target not in MAY[own] and name not in FILES.get(own, ()):
            yield number, f"{own}/ may not include {target}/"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    sources = [p for top in ("daemon", "ctl", "tun", "crypto") for p in sorted((root / top).rglob("*.[ch]"))]
    if not sources:
        sys.exit(f"{root}: no sources")
    bad = 0
    for path in sources:
        for number, what in faults(root, path):
            bad += 1
            print(f"{path.relative_to(root)}:{number}: {what}")
    print(f"{len(sources)} files, {bad} faults")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
