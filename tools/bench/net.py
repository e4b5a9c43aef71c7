"""The private network of a sweep: a namespace with a tap for guests, and one more behind a pair of
veth for native programs and for links of limited bandwidth. Everything vanishes with this process.
Used by main.py (to enter), systems.py (to boot into) and sweep.py (counters)."""

import os
import subprocess
import time

from common import BenchError, sh

HOST, GUEST, BITS = "10.77.0.1", "10.77.0.2", 24
# `wherry run` makes the guest's address the last four bytes of its MAC (tools/netspec.c).
GUEST_MAC = "02:57:0a:4d:00:02"
TAP, LINK, LINK_PEER, BRIDGE = "tap0", "link0", "link1", "br0"
# The network between a guest and the memory that it has on this host (far.py).
FAR_HOST, FAR_GUEST, FAR_TAP = "10.78.0.1", "10.78.0.2", "far0"
FAR_GUEST_MAC = "02:57:0a:4e:00:02"
INSIDE = "WHERRY_BENCH_NETNS"
COUNTERS = ("rx_packets", "rx_bytes", "rx_dropped", "rx_errors", "tx_packets", "tx_bytes", "tx_dropped", "tx_errors")
# Queues of a limited link: enough for one burst of TSO, short enough not to hide the limit.
BURST, LATENCY = "128k", "50ms"


def enter(argv):
    """Runs this program again where it may make a tap, and where it vanishes with us."""
    if os.environ.get(INSIDE):
        return
    how = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run(how + ["true"], capture_output=True).returncode != 0:
        raise BenchError("cannot make a network namespace (unshare --net): run as root")
    os.environ[INSIDE] = "1"
    os.execvp(how[0], how + argv)


def no_ipv6(prefix, interface):
    """Its own announcements would be in the counters."""
    sh(*prefix, "sh", "-c", f"echo 1 >/proc/sys/net/ipv6/conf/{interface}/disable_ipv6")


def prepare():
    """Once: what all boots share."""
    sh("ip", "link", "set", "lo", "up")
    for path, value in (("net/ipv4/ip_local_port_range", "2000 65000"), ("net/ipv4/tcp_max_tw_buckets", "2000")):
        try:
            with open(f"/proc/sys/{path}", "w") as f:  # connections that come and go find a port at once
                f.write(value)
        except OSError:
            pass  # an old kernel keeps it for the first namespace; a shortage of ports is reported as such


class Network:
    """Made for a boot: a tap, or a veth for what runs natively or behind a limited link."""

    def __init__(self, native, bandwidth=None, far_mtu=None):
        self.holder = None
        self.prefix = []  # the words in front of a command that runs at the far end
        self.interface = TAP
        try:
            if native or bandwidth:
                self.make_link(native, bandwidth)
            else:
                self.make_tap([])
                self.give_address(TAP)
            if far_mtu:
                self.make_far(far_mtu)
        except BaseException:
            self.close()
            raise

    def make_tap(self, prefix):
        sh(*prefix, "ip", "tuntap", "add", TAP, "mode", "tap")
        no_ipv6(prefix, TAP)
        sh(*prefix, "ip", "link", "set", TAP, "up")

    def give_address(self, interface):
        sh("ip", "addr", "add", f"{HOST}/{BITS}", "dev", interface)
        sh("ip", "link", "set", interface, "up")
        # Without it, ARP retries round boot times up to whole seconds.
        sh("ip", "neigh", "replace", GUEST, "lladdr", GUEST_MAC, "dev", interface, "nud", "permanent")

    def make_far(self, mtu):
        """The same as TAP, for far memory; always here, where the memory is."""
        sh("ip", "tuntap", "add", FAR_TAP, "mode", "tap")
        no_ipv6([], FAR_TAP)
        sh("ip", "link", "set", FAR_TAP, "mtu", str(mtu))
        sh("ip", "addr", "add", f"{FAR_HOST}/{BITS}", "dev", FAR_TAP)
        sh("ip", "link", "set", FAR_TAP, "up")
        sh("ip", "neigh", "replace", FAR_GUEST, "lladdr", FAR_GUEST_MAC, "dev", FAR_TAP, "nud", "permanent")

    def make_link(self, native, bandwidth):
        self.holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"])
        ours = os.readlink("/proc/self/ns/net")
        end = time.monotonic() + 10
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == ours:
            if time.monotonic() > end or self.holder.poll() is not None:
                raise BenchError("cannot make a second network namespace")
            time.sleep(0.005)
        self.prefix = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]
        self.interface = LINK
        sh("ip", "link", "add", LINK, "type", "veth", "peer", "name", LINK_PEER)
        no_ipv6([], LINK)
        sh("ip", "link", "set", LINK_PEER, "netns", str(self.holder.pid))
        sh(*self.prefix, "ip", "link", "set", "lo", "up")
        no_ipv6(self.prefix, LINK_PEER)
        if native:
            sh(*self.prefix, "ip", "link", "set", LINK_PEER, "address", GUEST_MAC)
            sh(*self.prefix, "ip", "addr", "add", f"{GUEST}/{BITS}", "dev", LINK_PEER)
        else:
            self.make_tap(self.prefix)
            sh(*self.prefix, "ip", "link", "add", BRIDGE, "type", "bridge")
            no_ipv6(self.prefix, BRIDGE)
            sh(*self.prefix, "ip", "link", "set", TAP, "master", BRIDGE)
            sh(*self.prefix, "ip", "link", "set", LINK_PEER, "master", BRIDGE)
            sh(*self.prefix, "ip", "link", "set", BRIDGE, "up")
        sh(*self.prefix, "ip", "link", "set", LINK_PEER, "up")
        self.give_address(LINK)
        if bandwidth:
            for prefix, interface in (([], LINK), (self.prefix, LINK_PEER)):
                sh(*prefix, "tc", "qdisc", "add", "dev", interface, "root", "tbf", "rate", f"{bandwidth}mbit",
                   "burst", BURST, "latency", LATENCY)

    def counters(self):
        """Of our end: what we sent is tx. From /proc, since /sys shows the namespace that mounted it."""
        with open("/proc/self/net/dev") as f:
            for line in f:
                name, _, rest = line.partition(":")
                if name.strip() == self.interface:
                    v = [int(x) for x in rest.split()]
                    return dict(zip(COUNTERS, (v[1], v[0], v[3], v[2], v[9], v[8], v[11], v[10])))
        return None

    def close(self):
        for interface in (TAP, LINK, FAR_TAP):
            subprocess.run(["ip", "link", "del", interface], capture_output=True, timeout=10)
        if self.holder:
            self.holder.kill()
            self.holder.wait(10)

