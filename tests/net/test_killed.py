#!/usr/bin/env python3
# ctest: timeout=60 beside
"""SIGKILL at any moment of a node's life leaves it its state and key, and the tunnel is back within 5 s of the next start.

    coord
      |
    inet ---- [public] ---- a1  <==ping==>  b1   killed: b1, and every third time the coordinator with it
        `---- [public] ---- b1

A round kills b1 somewhere in its start, its registration, a handshake, a rekey (every 0.5 s here) or the writing of a file.
WARREN_KILLS is the number of rounds (12); WARREN_SEED repeats a run."""
import contextlib
import json
import os
import random
import sqlite3
import time

from harness import FACTOR, Mesh, Site, check, main, wait_until

ROUNDS = int(os.environ.get("WARREN_KILLS", "12"))
SEED = int(os.environ.get("WARREN_SEED", str(random.randrange(1 << 32))))
BACK_SECONDS = 5.0
SPAN = 0.5 * FACTOR  # of a life from its start to a few rekeys


def identity(mesh, host):
    status = mesh.nodes[host].ask("status")
    return status["key"], status["underlay"]["port"], sorted(status["addresses"])


def check_files(mesh, dead):
    """As the kill left them: whole, or as they were before."""
    with open(f"{mesh.dir}/b1.state/node.json") as f:
        check(json.load(f)["port"], "node.json has no port")
    if "coord" in dead:
        for name in os.listdir(f"{mesh.dir}/coord.state"):
            if name.endswith((".db", ".sqlite")):
                with contextlib.closing(sqlite3.connect(f"file:{mesh.dir}/coord.state/{name}?mode=ro", uri=True)) as db:
                    check(db.execute("PRAGMA integrity_check").fetchone() == ("ok",), f"{name} is damaged")


def node_is_back_after_each_kill():
    print(f"  {ROUNDS} rounds, WARREN_SEED={SEED}")
    rng = random.Random(SEED)
    with Mesh([Site("a", "public"), Site("b", "public")], env={"WARREN_TEST_REKEY_MS": "500"}, trust=True) as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 3) is not None, "a1 does not reach b1")
        mesh.wait_path("a1", "b1", "direct", within=3)
        same, slowest = identity(mesh, "b1"), 0.0
        with mesh.pinger("a1", "b1") as pinger:
            for number in range(ROUNDS):
                dead = ["b1", "coord"] if number % 3 == 2 else ["b1"]
                for host in dead:
                    mesh.nodes[host].kill()
                # A life that is cut short as it begins, as often as not.
                for _ in range(rng.randrange(3)):
                    mesh.start(*dead, wait=False)
                    time.sleep(rng.random() * SPAN)
                    for host in dead:
                        mesh.nodes[host].kill()
                check_files(mesh, dead)
                mesh.start(*dead[::-1], wait=False)
                begin = mesh.nodes["b1"].started
                at = wait_until(lambda: pinger.first(after=begin), BACK_SECONDS * FACTOR,
                                f"round {number} of seed {SEED}: the tunnel is back", begin)
                slowest = max(slowest, at - begin)
                wait_until(mesh.nodes["b1"].ready, 3 * FACTOR, "b1 answers")
                check(identity(mesh, "b1") == same, f"round {number} of seed {SEED}: b1 was {same}, is {identity(mesh, 'b1')}")
                time.sleep(rng.random() * SPAN)
            for host in mesh.nodes:
                check(".bad" not in mesh.nodes[host].log(), f"{host}: a file was found damaged")
        print(f"  back after at most {slowest:.2f} s")


main(node_is_back_after_each_kill)
