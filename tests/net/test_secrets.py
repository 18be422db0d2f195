#!/usr/bin/env python3
# ctest: timeout=60 beside
"""Another user of the machine learns no key and, outside the group of the socket, nothing at all; logs, /proc and dumps hold no key.

    coord  run as the user nobody, without a capability
      |
    inet ---- [public] ---- a1  <==ping==>  b1   with a psk, certificates, and everything logged
        `---- [public] ---- b1
"""
import base64
import os
import re
import subprocess

from harness import PROGRAMS, Mesh, Site, check, main, netns, sh, wait_until

NOBODY = 65534


def as_user(gid, *argv):
    return subprocess.run(["setpriv", "--reuid", str(NOBODY), "--regid", str(gid), "--clear-groups", *argv], capture_output=True,
                          text=True, timeout=10)


def secrets_of(mesh):
    """Each key in the forms that it could be written in."""
    texts = [key.secret for key in (*mesh.keys.values(), mesh.network)]
    with open(f"{mesh.dir}/a1.psk") as f:
        texts.append(f.read().strip())
    forms = []
    for text in texts:
        raw = base64.b64decode(text + "=" * (-len(text) % 4))
        check(len(raw) >= 32, "a key was not understood")
        forms += [text.encode(), raw[:32], raw[:32].hex().encode(), raw[:32].hex().upper().encode()]
    return forms


def find_secret(forms, data, where):
    check(not any(form in data for form in forms), f"{where} holds a key")


def open_to_others(mesh):
    """So that it is the files' own modes that keep others out, and not the directory's."""
    os.chmod(mesh.dir, 0o755)


def others_read_nothing_and_nothing_is_told():
    with Mesh([Site("a", "public"), Site("b", "public")], trust=True, psk=True, env={"WARREN_TEST_REKEY_MS": "500"}) as mesh:
        open_to_others(mesh)
        for host in ("coord", "a1", "b1"):
            with open(mesh.nodes[host].conf, "a") as f:
                f.write("log_level = debug\n")
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 3) is not None, "a1 does not reach b1")
        wait_until(lambda: os.path.exists(f"{mesh.dir}/a1.state/members"), 5, "a1 keeps its peers")
        wait_until(lambda: mesh.counter("a1", "handshakes_completed") >= 3 or not mesh.ping("a1", "b1", 1), 8, "keys are renewed")
        forms = secrets_of(mesh)

        for path in (f"{mesh.dir}/a1.key", f"{mesh.dir}/a1.psk", f"{mesh.dir}/network.key", f"{mesh.dir}/a1.state/members",
                     f"{mesh.dir}/a1.state/node.json", f"{mesh.dir}/coord.state/coordinator.db", mesh.nodes["a1"].conf):
            check(os.path.exists(path), f"no {path}")
            check(as_user(NOBODY, "cat", path).returncode != 0, f"another user reads {path}")
        for command in ("status", "peers", "why b1"):
            ctl = [PROGRAMS["warrenctl"], "-s", mesh.nodes["a1"].control, *command.split()]
            r = as_user(NOBODY, *ctl)
            check(r.returncode and not r.stdout and "ermi" in r.stderr, f"another user: {command}: {r.returncode} {r.stdout}{r.stderr}")
            check(as_user(0, *ctl).returncode == 0, f"the group may not: {command}: {as_user(0, *ctl).stderr}")
        r = as_user(0, PROGRAMS["warrenctl"], "-s", mesh.nodes["a1"].control, "reload")
        check(r.returncode == 77, f"the group may reload: {r.returncode} {r.stderr}")

        mesh.ctl("coord", "node", "revoke", "b1", "--signing-key", mesh.network.path)
        for host, node in mesh.nodes.items():
            pid = node.process.pid
            for name in ("cmdline", "environ", "comm", "status"):
                with open(f"/proc/{pid}/{name}", "rb") as f:
                    find_secret(forms, f.read(), f"{host}: /proc/PID/{name}")
            with open(f"/proc/{pid}/limits") as f:
                check(re.search(r"^Max core file size +0 +0 ", f.read(), re.M), f"{host}: it may dump its core")
            find_secret(forms, node.log().encode(errors="surrogateescape"), f"{host}: its log")
            check("debug: " in node.log() or host == "coord", f"{host}: nothing was logged in detail")
            for name in os.listdir(f"{mesh.dir}/{host}.state"):
                with open(f"{mesh.dir}/{host}.state/{name}", "rb") as f:
                    find_secret(forms, f.read(), f"{host}: {name} in its state_dir")
            for command in ("status", "peers", "paths", "netcheck") if host == "a1" else ("status", "peers"):
                find_secret(forms, mesh.ctl(host, command, "--json").stdout.encode(), f"{host}: {command}")


def not_even_its_own_user_reads_a_daemons_memory():
    with Mesh([Site("a", "public")]) as mesh:
        open_to_others(mesh)
        node = mesh.nodes["coord"]
        for path in (mesh.keys["coord"].path, node.conf, f"{mesh.dir}/coord.state"):
            os.chown(path, NOBODY, NOBODY)
        os.mkdir(f"{mesh.dir}/run")
        os.chown(f"{mesh.dir}/run", NOBODY, NOBODY)
        with open(node.conf) as f:
            text = f.read()
        node.control = f"{mesh.dir}/run/coord.sock"
        mesh._write("coord", text.replace(f"{mesh.dir}/coord.sock", node.control))
        with netns(mesh.lab.ns("coord")), open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w") as f:
            f.write("0")  # for 443, which the configuration has
        with open(node.log_path, "ab") as log:
            node.process = mesh.lab.popen("coord", ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups",
                                                    "--inh-caps=-all", PROGRAMS["warrend"], "-c", node.conf],
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(node.ready, 3, "the coordinator answers")
        pid = node.process.pid
        with open(f"/proc/{pid}/status") as f:
            check(re.search(rf"^Uid:\s+{NOBODY}\s", f.read(), re.M), "it is not the daemon that is looked at")
        for name in ("environ", "maps", "mem", "fd/0"):
            r = as_user(NOBODY, "dd", f"if=/proc/{pid}/{name}", "count=0" if name == "mem" else "count=1", "status=none")
            check(r.returncode and "ermission denied" in r.stderr, f"its own user opens /proc/PID/{name}: {r.stderr}")
        with open(f"/proc/{pid}/smaps") as f:
            check(re.search(r"^VmFlags:.* dd( |$)", f.read(), re.M), "no page is kept out of dumps")
        mesh.start("a1")
        mesh.wait_registered("a1")


main(others_read_nothing_and_nothing_is_told, not_even_its_own_user_reads_a_daemons_memory)
