#!/usr/bin/env python3
# ctest: timeout=90 beside
"""The control socket of a peer: it answers promptly again after a coordinator refused a question, and says what a reload did
and what became of the interface.

    coord
      |
    inet ---- a1, b1   public hosts
"""
import json
import time

from harness import FACTOR, Mesh, Site, check, main, sh, wait_until


def mesh_of_two():
    return Mesh([Site("a", "open"), Site("b", "open")])


def a_refused_page_is_asked_for_again():
    """Each `peers` asks the coordinator for the member list; it refuses those who ask too fast, and says nothing."""
    with mesh_of_two() as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        before = mesh.counter("coord", "control_rate_limited")
        deadline = time.monotonic() + 20 * FACTOR
        while mesh.counter("coord", "control_rate_limited") == before:
            check(time.monotonic() < deadline, "the coordinator refused nothing")
            for _ in range(200):
                mesh.nodes["a1"].ask("peers")

        def answers_at_once():
            start = time.monotonic()
            mesh.nodes["a1"].ask("peers")
            return time.monotonic() - start < 0.3

        wait_until(answers_at_once, 5, "a1 hears from the coordinator again")


def broken_reload_shows_in_status():
    with mesh_of_two() as mesh:
        mesh.start("coord", "a1")
        mesh.wait_registered("a1")
        for host in "coord", "a1":
            node = mesh.nodes[host]
            check(node.ask("status")["config"]["last_error"] is None, f"{host} has an error before any reload")
            with open(node.conf, "a") as f:
                f.write("nonsense = 1\n")
            r = mesh.ctl(host, "reload")
            check(r.returncode == 78, f"{host}: reload of a broken file exits {r.returncode}")
            check("nonsense" in (node.ask("status")["config"]["last_error"] or ""),
                  f"{host}: status does not name the error: {node.ask('status')['config']}")
            with open(node.conf) as f:
                text = f.read().replace("nonsense = 1\n", "")
            with open(node.conf, "w") as f:
                f.write(text)
            r = mesh.ctl(host, "reload")
            check(r.returncode == 0, f"{host}: reload of the mended file exits {r.returncode}")
            check(node.ask("status")["config"]["last_error"] is None, f"{host}: the error stays after a good reload")
        check(mesh.peer("a1", "b1") is not None, "a1 lost its registration by a reload")


def what_only_a_restart_applies_is_said_until_then():
    with mesh_of_two() as mesh:
        mesh.start("coord", "a1")
        mesh.wait_registered("a1")
        node = mesh.nodes["a1"]
        with open(node.conf) as f:
            text = f.read()

        def reload(changed):
            with open(node.conf, "w") as f:
                f.write(changed)
            return json.loads(mesh.ctl("a1", "reload", "--json").stdout)
        for _ in range(2):  # also when the file is what it was at the last reload
            r = reload(text + "workers = 1\n")
            check(r["ok"] and r["restart"] == ["workers"] and r["applied"] == [], f"reload says {r}")
        r = reload(text)
        check(r["ok"] and r["restart"] == [] and r["applied"] == [], f"after going back, reload says {r}")
        r = reload(text + 'log_level = "debug"\nstate_dir = "/nowhere"\n' if "state_dir" not in text else
                   text.replace(f"{mesh.dir}/a1.state", "/nowhere") + 'log_level = "debug"\n')
        check(r["ok"] and r["restart"] == ["state_dir"] and r["applied"] == ["log_level"], f"reload says {r}")


def deleted_interface_is_noticed():
    with mesh_of_two() as mesh:
        mesh.start("coord", "a1")
        mesh.wait_registered("a1")
        check(mesh.ctl("a1", "status", "--check").returncode == 0, "a1 is not well at the start")
        sh("ip", "-netns", mesh.lab.ns("a1"), "link", "delete", "warren0")
        wait_until(lambda: mesh.ctl("a1", "status", "--check").returncode == 1, 2, "status --check says no")
        check("deleted" in mesh.ctl("a1", "status").stdout, "status does not say that the interface is gone")
        check("error: interface warren0: it was deleted" in mesh.nodes["a1"].log(), "the log does not say so either")


def waiting_ends_when_it_is_so_and_the_map_has_the_pair():
    with Mesh([Site("a", "port"), Site("b", "udpblocked"), Site("c", "open")]) as mesh:
        begin = time.monotonic()
        waiter = mesh.popen_ctl("a1", "wait", "--for", "peer=b1", "--timeout", "20")  # nothing runs yet
        mesh.start("coord", "a1", "c1")
        mesh.wait_registered("a1", "c1")
        check(mesh.ctl("a1", "wait", "--timeout", "3").returncode == 0, "a1 is up")
        r = mesh.ctl("a1", "wait", "--for", "peer=b1", "--timeout", "0.5")
        check(r.returncode == 1 and r.stderr.count("\n") == 1, f"b1 does not run: {r.returncode} {r.stderr}")
        check(waiter.poll() is None, "the first wait ended before b1 was there")
        mesh.start("b1")
        check(waiter.wait(10) == 0 and time.monotonic() - begin < 15, "the first wait did not end with b1's coming")
        check(mesh.ctl("a1", "wait", "--for", "direct=c1", "--timeout", "10").returncode == 0, "c1 is not reached directly")
        mesh.relay_only()
        mesh.nodes["b1"].stop()
        mesh.start("b1")
        r = mesh.ctl("b1", "wait", "--for", "direct=c1", "--timeout", "2", "--json")
        check(r.returncode == 2 and not json.loads(r.stdout)["reached"], f"b1 to c1: {r.returncode} {r.stdout} {r.stderr}")

        def pairs():
            return {(p["a"], p["b"]): (p["a_path"] or {"kind": None}, p["b_path"] or {"kind": None})
                    for p in mesh.ctl_json("coord", "map")["pairs"]}

        wait_until(lambda: [p["kind"] for p in pairs()["a1", "c1"]] == ["direct", "direct"], 4, f"the map says direct: {pairs()}")
        wait_until(lambda: pairs()["b1", "c1"][0] == {"kind": "relay", "transport": "tcp"}, 4, f"the map says relayed: {pairs()}")
        members = {m["name"]: m for m in mesh.ctl_json("coord", "map")["members"]}
        check(members["a1"]["tcp"].startswith(mesh.lab.pub["a"]) and members["a1"]["udp"].startswith(mesh.lab.pub["a"]),
              f"a1 in the map: {members['a1']}")
        check(members["c1"]["nat"] and members["c1"]["nat"]["mapping"] == "none", f"c1 in the map: {members['c1']}")
        dot = mesh.ctl("coord", "map", "--dot").stdout
        check(dot.startswith('graph "home" {') and '"b1" -- "c1" [label="relay/tcp | ' in dot and dot.endswith("}\n"), dot)
        r = mesh.ctl("a1", "map")
        check(r.returncode == 1 and "ask a coordinator" in r.stderr, f"a peer's map: {r.returncode} {r.stderr}")


main(a_refused_page_is_asked_for_again, broken_reload_shows_in_status, what_only_a_restart_applies_is_said_until_then,
     deleted_interface_is_noticed, waiting_ends_when_it_is_so_and_the_map_has_the_pair)
