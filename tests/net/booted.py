"""Machines that are booted: systemd, in a root of its own and in the network namespace of a host of the laboratory

    with booted(lab, "coord", "a1") as (coord, a):
        a.install(Package.path)
        a.must("systemctl", "start", "warren@home")

Namespaces for mounts, processes, IPC and names are each machine's own, as is its part of the control groups. Nothing of what this
machine runs is started there; of the kernel's settings only those of the network can be written."""
import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile

from harness import FACTOR, check, sh, wait_until
from package import root_of_its_own

# Services of other packages, and what is for logins: they would only take time.
MASKED = ("dbus.service", "dbus.socket", "systemd-logind.service", "getty.target", "systemd-ask-password-wall.path",
          "systemd-ask-password-console.path", "systemd-user-sessions.service", "systemd-update-utmp.service",
          "systemd-update-utmp-runlevel.service", "systemd-sysctl.service",
          "systemd-resolved.service", "systemd-timesyncd.service", "timers.target", "systemd-random-seed.service")

# First process of the new namespaces; becomes systemd.
BOOT = """set -e
mount -o bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -o bind proc/sys proc/sys
mount -o bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
[ ! -e proc/sysrq-trigger ] || mount -o bind,ro proc/sysrq-trigger proc/sysrq-trigger
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/net dev/pts dev/shm
for n in null zero full random urandom tty net/tun; do cp -a "/dev/$n" "dev/$n"; done
chmod 666 dev/net/tun # as udev has it
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for n in 0 1 2; do ln -s "/proc/self/fd/$n" "dev/std$(echo in out err | cut -d' ' -f$((n + 1)))"; done
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir run/old
pivot_root . run/old
umount -l /run/old
mount --make-rshared /
exec setpriv --bounding-set -sys_module,-sys_time,-sys_rawio,-syslog env -i container=warren-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	/lib/systemd/systemd --unit=multi-user.target --show-status=no
"""


def cannot_boot():
    """Why no machine can be booted here; None: they can."""
    if not os.path.exists("/lib/systemd/systemd"):
        return "no systemd"
    script = "d=$(mktemp -d) && mount -t cgroup2 cgroup2 $d; e=$?; [ $e -ne 0 ] || umount $d; rmdir $d; exit $e"
    if subprocess.run(["unshare", "--mount", "--pid", "--cgroup", "--ipc", "--uts", "--fork", "sh", "-c", script],
                      capture_output=True).returncode:
        return "no namespaces and control groups of one's own"
    return None


class Booted:
    def __init__(self, lab, host, root, layer, log):
        self.lab, self.host, self.root, self.layer, self.log = lab, host, root, layer, log
        self.cgroup = f"{os.path.dirname(root)}/cgroup"
        os.mkdir(self.cgroup)
        sh("mount", "-t", "cgroup2", "cgroup2", self.cgroup)
        self.group = f"{self.cgroup}/warren-{os.path.basename(os.path.dirname(root))}"
        self._clear()
        self.process = None

    def _clear(self):
        """No service of this machine's, and a machine-id of its own."""
        etc = f"{self.root}/etc"
        for name in "systemd/system", "init.d", "rc0.d", "rc1.d", "rc2.d", "rc3.d", "rc4.d", "rc5.d", "rc6.d", "rcS.d":
            shutil.rmtree(f"{etc}/{name}", ignore_errors=True)
            os.makedirs(f"{etc}/{name}")
        for name in MASKED:
            os.symlink("/dev/null", f"{etc}/systemd/system/{name}")
        # Without an id this would be a first boot, which enables all there is.
        for name, text in (("machine-id", secrets.token_hex(16)), ("hostname", self.host), ("fstab", "")):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{etc}/{name}")
            with open(f"{etc}/{name}", "w") as f:
                f.write(text + "\n")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.root}/usr/sbin/policy-rc.d")

    def boot(self):
        os.mkdir(self.group)
        with open(self.log, "ab") as log:
            self.process = self.lab.popen(
                self.host, ["sh", "-c", 'echo $$ >"$1/cgroup.procs" && exec unshare --mount --uts --ipc --pid --cgroup --fork --kill-child '
                            'sh -c "$2" sh "$3"', "sh", self.group, BOOT, self.root],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def up(self):
        wait_until(self._is_up, 20 * FACTOR, f"{self.host}: systemd has started everything")

    def _is_up(self):
        check(self.process.poll() is None, f"{self.host}: systemd ended with {self.process.returncode}:\n{self.said()}")
        return self.init() and self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    def init(self):
        """systemd's number out here; None: it is not there yet."""
        pid = self.process.pid
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{pid}/children") as f:
            return (f.read().split() or [None])[0]

    def run(self, *argv, text=None):
        return subprocess.run(["nsenter", "-t", self.init(), "-m", "-u", "-i", "-n", "-p", "--", "env", "-i", "LC_ALL=C",
                               "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", *argv], input=text or "",
                              text=True, capture_output=True, timeout=60)

    def must(self, *argv, text=None):
        r = self.run(*argv, text=text)
        check(r.returncode == 0, f"{self.host}: {' '.join(argv)}: exit {r.returncode}: {r.stdout}{r.stderr}")
        return r.stdout

    def install(self, path):
        shutil.copy(path, f"{self.root}/warren.deb")
        self.must("dpkg", "-i", "/warren.deb")
        os.unlink(f"{self.root}/warren.deb")

    def unit(self, name, *properties):
        """What systemd knows of a unit, in the order of the properties."""
        lines = self.must("systemctl", "show", name, *(f"--property={p}" for p in properties)).splitlines()
        found = dict(line.split("=", 1) for line in lines)
        return [found[p] for p in properties]

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()[-3000:]

    def halt(self):
        """Everything in it ends at once."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
            wait_until(self._has_no_group, 5, f"{self.host}: its control groups are empty")

    def _has_no_group(self):
        for directory, names, _ in os.walk(self.group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        return not os.path.exists(self.group)

    def close(self):
        try:
            self.halt()
        finally:
            subprocess.run(["umount", "-l", self.cgroup], capture_output=True)


@contextlib.contextmanager
def booted(lab, *hosts):
    with contextlib.ExitStack() as stack:
        logs = stack.enter_context(tempfile.TemporaryDirectory(prefix="warren-booted-"))
        machines = []
        for host in hosts:
            root, layer = stack.enter_context(root_of_its_own(with_systemd=True))
            machine = Booted(lab, host, root, layer, f"{logs}/{host}")
            stack.callback(machine.close)
            machine.boot()
            machines.append(machine)
        for machine in machines:
            machine.up()
        try:
            yield machines
        except BaseException:
            for machine in machines:
                print(f"--- {machine.host}", *machine.run("journalctl", "-b", "-o", "short-precise", "-n", "15", "--no-pager").stdout.splitlines(), sep="\n    ")
            raise
