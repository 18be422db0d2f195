#!/usr/bin/env python3
# ctest: timeout=180 labels=release,package
"""The Debian package: what is in it, how tight its unit is, and that it comes, is renewed under a running tunnel, and goes
without a trace.

    coord
      |
    inet ---- a1, b1   public hosts, which run the programs of the package

Installed in a root of its own (package.py)."""
import configparser
import gzip
import os
import re
import shutil
import subprocess
import tempfile
import time
from xml.etree import ElementTree

from harness import FACTOR, Mesh, PROGRAMS, Site, check, main
from package import Package, base_root, files_of, in_root, root_of_its_own, run

EXPOSURE_MAX = 2.0


# ---------------------------------------------------------------- what is in it


def lintian_finds_no_error():
    Package.build()
    r = subprocess.run(["lintian", "--no-cfg", "--allow-root", "--fail-on", "error", Package.path], capture_output=True, text=True)
    check(r.returncode == 0, f"lintian:\n{r.stdout}{r.stderr}")


def everything_is_in_its_place():
    Package.build()
    tree = f"{Package.directory}/tree"
    run("dpkg-deb", "-x", Package.path, tree)
    for path, mode in (("usr/sbin/warrend", 0o755), ("usr/bin/warrenctl", 0o755), ("usr/lib/systemd/system/warren@.service", 0o644),
                       ("usr/lib/systemd/system/warren.target", 0o644), ("usr/lib/systemd/system/warren@.socket", 0o644),
                       ("usr/lib/sysusers.d/warren.conf", 0o644),
                       ("usr/lib/tmpfiles.d/warren.conf", 0o644), ("usr/share/warren/coordinator.conf", 0o644),
                       ("usr/lib/NetworkManager/conf.d/90-warren.conf", 0o644), ("usr/share/man/man8/warrend.8.gz", 0o644),
                       ("usr/share/man/man8/warrenctl.8.gz", 0o644), ("usr/share/man/man5/warren.conf.5.gz", 0o644),
                       ("usr/share/warren/schema/peers.json", 0o644), ("usr/share/bash-completion/completions/warrenctl", 0o644),
                       ("usr/share/zsh/vendor-completions/_warrenctl", 0o644),
                       ("usr/share/fish/vendor_completions.d/warrenctl.fish", 0o644), ("usr/share/doc/warren/copyright", 0o644), ("usr/share/doc/warren/examples/peer.conf", 0o644)):
        check(os.path.exists(f"{tree}/{path}"), f"the package lacks {path}")
        check(os.stat(f"{tree}/{path}").st_mode & 0o7777 == mode, f"{path} has mode {os.stat(f'{tree}/{path}').st_mode & 0o7777:o}")
    check(sorted(os.listdir(tree)) == ["usr"], f"files outside of /usr: {os.listdir(tree)}")
    with gzip.open(f"{tree}/usr/share/man/man8/warrend.8.gz", "rt") as f:
        check(".Nm warrend" in f.read(), "the manual is none")
    in_tarball = run("tar", "-tzf", Package.tarball)
    for end in "/sbin/warrend", "/bin/warrenctl", "/lib/systemd/system/warren@.service":
        check(end in in_tarball, f"the tarball lacks {end}")


def the_units_are_sound_and_tight():
    Package.build()
    with tempfile.TemporaryDirectory() as root:
        run("dpkg-deb", "-x", Package.path, root)
        dropin = f"{root}/etc/systemd/system/warren@c1.service.d"
        os.makedirs(dropin)
        os.symlink("/usr/share/warren/coordinator.conf", f"{dropin}/coordinator.conf")
        # systemd-analyze does not follow links into the root it is given.
        shutil.copy(f"{root}/usr/share/warren/coordinator.conf", f"{dropin}/copy.conf")
        for unit in "warren@home.service", "warren@c1.service":
            out = run("systemd-analyze", "security", "--offline=true", "--no-pager", f"--root={root}", unit)
            exposure = float(re.search(r"Overall exposure level.*: ([0-9.]+)", out)[1])
            check(exposure <= EXPOSURE_MAX, f"{unit} is exposed by {exposure}:\n{out}")
            print(f"     {unit}: exposure {exposure}")
        check("AmbientCapabilities=\n" in open(f"{dropin}/copy.conf").read(), "the drop-in leaves capabilities")
        said = subprocess.run(["systemd-analyze", "verify", "--man=no", f"{root}/usr/lib/systemd/system/warren@.service",
                               f"{root}/usr/lib/systemd/system/warren.target", f"{root}/usr/lib/systemd/system/warren@.socket"],
                              capture_output=True, text=True).stderr
        # It looks for the programs where they are not yet.
        wrong = [line for line in said.splitlines() if "warren" in line and "is not executable" not in line
                 and "not found" not in line]
        check(not wrong, f"systemd-analyze verify: {wrong}")


def what_other_programs_read_of_it_is_well_formed():
    Package.build()
    with tempfile.TemporaryDirectory() as root:
        run("dpkg-deb", "-x", Package.path, root)
        service = ElementTree.parse(f"{root}/usr/lib/firewalld/services/warren.xml").getroot()
        ports = {(p.get("protocol"), p.get("port")) for p in service.findall("port")}
        check(service.tag == "service" and ports == {("udp", "27700"), ("udp", "27701"), ("tcp", "27700")}, f"firewalld: {ports}")
        for path, section, expected in (
                ("NetworkManager/conf.d/90-warren.conf", "device-warren", {"match-device": "interface-name:warren*", "managed": "0"}),
                ("systemd/network/10-warren.network", "Match", {"Name": "warren*"}),
                ("systemd/network/10-warren.network", "Link", {"Unmanaged": "yes"})):
            ini = configparser.ConfigParser(strict=True)
            ini.optionxform = str
            ini.read(f"{root}/usr/lib/{path}")
            check(section in ini and dict(ini[section]) == expected, f"{path}: {[dict(ini[s]) for s in ini.sections()]}")
        # openrc-run sets the service's name and reads the script.
        script = f"{root}/usr/share/warren/openrc/warren"
        said = {name: subprocess.run(["sh", "-uec", f'eerror() {{ echo "$1"; }}; RC_SVCNAME={name}; . "$1"; command=true; start_pre && '
                                      'echo "$command_args"', "sh", script], capture_output=True, text=True).stdout.strip()
                for name in ("warren.home", "warren")}
        check(said["warren.home"] == "-c /etc/warren/home.conf" and "is for no network" in said["warren"], f"openrc: {said}")


# ---------------------------------------------------------------- its life


def owner(root, path):
    st = os.stat(f"{root}/{path}")
    names = {line.split(":")[2]: line.split(":")[0] for line in open(f"{root}/etc/passwd")}
    groups = {line.split(":")[2]: line.split(":")[0] for line in open(f"{root}/etc/group")}
    return names.get(str(st.st_uid)), groups.get(str(st.st_gid)), st.st_mode & 0o7777


def renew_under_a_tunnel(root):
    """Replaced while it runs, the old daemon goes on; started anew, the tunnel is back within a second."""
    programs = dict(PROGRAMS)
    try:
        PROGRAMS.update(warrend=f"{root}/usr/sbin/warrend", warrenctl=f"{root}/usr/bin/warrenctl")
        with Mesh([Site("a", "open"), Site("b", "open")]) as mesh:
            mesh.start("coord", "a1", "b1")
            check(mesh.ping("a1", "b1", 5) is not None, "no ping through the package's programs")
            mesh.wait_path("a1", "b1", "direct", within=5)
            with mesh.pinger("a1", "b1", interval=0.02) as pinger:
                begin = time.monotonic()
                in_root(root, "dpkg", "-i", "/newer.deb")
                time.sleep(0.1)
                during, begin = pinger.longest_gap(begin), time.monotonic()
                mesh.nodes["a1"].stop()
                mesh.start("a1")
                check(mesh.ping("a1", "b1", 5) is not None, "no ping after the restart")
                time.sleep(0.3)
                gap = pinger.longest_gap(begin)
            print(f"     longest gap while it was unpacked {during:.2f} s, with the restart {gap:.2f} s")
            check(during < 0.5, f"{during:.2f} s without an answer while the package was renewed")
            check(gap < 1 * FACTOR, f"{gap:.2f} s without an answer at the restart")
    finally:
        PROGRAMS.update(programs)


def it_comes_and_goes_without_a_trace():
    Package.build()
    with root_of_its_own() as (root, layer):
        before = files_of(layer)
        shutil.copy(Package.path, f"{root}/warren.deb")
        shutil.copy(Package.newer, f"{root}/newer.deb")
        in_root(root, "dpkg", "-i", "/warren.deb")
        check(in_root(root, "warrend", "--version").startswith("warrend "), "the daemon does not run there")
        check(owner(root, "etc/warren") == ("root", "warren", 0o750), f"/etc/warren: {owner(root, 'etc/warren')}")
        check(owner(root, "run/warren") == ("warren", "warren", 0o750), f"/run/warren: {owner(root, 'run/warren')}")
        in_root(root, "sh", "-c", "umask 077; warrenctl key gen > /etc/warren/home.key && mkdir -p /var/lib/warren/home && "
                                  "cp /etc/warren/home.key /var/lib/warren/home/private.key && "
                                  "cp /usr/share/doc/warren/examples/peer.conf /etc/warren/home.conf && "
                                  "warrend --check -c /etc/warren/home.conf")
        # As "systemctl enable warren@home" leaves it.
        wants = f"{root}/etc/systemd/system/multi-user.target.wants"
        os.makedirs(wants, exist_ok=True)
        os.symlink("/lib/systemd/system/warren@.service", f"{wants}/warren@home.service")

        renew_under_a_tunnel(root)
        check("9.9.9" in in_root(root, "dpkg-query", "-W", "warren"), "the newer one is not installed")
        check(os.path.exists(f"{root}/etc/warren/home.key"), "an upgrade took the keys")

        in_root(root, "dpkg", "-r", "warren")
        check(not os.path.exists(f"{root}/usr/sbin/warrend"), "a removal leaves the daemon")
        check(os.path.exists(f"{root}/etc/warren/home.key"), "a removal takes the keys")
        in_root(root, "dpkg", "-P", "warren")
        for name in "warren.deb", "newer.deb":
            os.unlink(f"{root}/{name}")
        left = files_of(layer) - before - {"etc/systemd/system/multi-user.target.wants"}
        # Directories are in a layer as soon as anything in them is, or was.
        left = {name for name in left if not (os.path.isdir(f"{base_root()}/{name}") and os.path.isdir(f"{layer}/{name}"))}
        check(not left, f"a purge leaves {sorted(left)}")
        for name in "passwd", "group", "shadow":
            check("warren:" not in open(f"{root}/etc/{name}").read(), f"a purge leaves the user in /etc/{name}")
        check(in_root(root, "dpkg-query", "-W", "-f", "${Status}", "warren", ok=(0, 1)).strip() in ("", "unknown ok not-installed"),
              "dpkg still knows it")


try:
    main(lintian_finds_no_error, everything_is_in_its_place, the_units_are_sound_and_tight,
         what_other_programs_read_of_it_is_well_formed, it_comes_and_goes_without_a_trace)
finally:
    Package.remove()
