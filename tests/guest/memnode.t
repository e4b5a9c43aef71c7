#!/bin/sh
# Proves that a guest reaches the memory node through QEMU's network cards: a Linux guest's sockets (whose IP
# headers it makes itself) and the client of tests/tool/memnode.t write and read memory over a unix stream,
# unix datagrams and vhost-user, in jumbo frames too. Takes about 25 seconds.
# limit: 180
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
python=$(readlink -f "$python")
[ -x "$python" ] || plan_skip "there is no python3"

# What the client imports, and nothing else of Python's library.
library=/usr/lib/$(basename "$python")
mkdir -p "$dir/lib" "$dir/t" "$dir/bin"
cp "$top/tests/tool/memnode_client.py" "$dir/t/"
cat >"$dir/t/guest.py" <<'END'
import sys
sys.path.insert(0, "/t")
import memnode_client as mc
c = mc.Client(mc.Udp("10.77.0.2", "10.77.0.1", 7471), b"", "guest", tries=20)
c.login()
va, length, rkey = c.alloc(1 << 20)
data = bytes(i * 7 & 255 for i in range(16384))
for mtu in (256, int(sys.argv[1])):
    qp = c.connect(mtu=mtu)
    assert qp.mtu == mtu
    for n in (0, 1, 1023, 4096, 10001):
        assert qp.write(va + 7, rkey, data[:n], tries=5) is True, n
        assert qp.read(va + 7, rkey, n, tries=5) == data[:n], n
assert qp.read(va, rkey ^ 4096, 4) == mc.NAK_ACCESS
c.request(mc.BYE)
print("guest: all is well")
END
(cd "$dir/t" && "$python" -I -B -c '
import sys
sys.path.insert(0, ".")
import memnode_client, encodings.idna, stringprep
print("\n".join(getattr(m, "__file__", None) or "" for m in list(sys.modules.values())))') |
    grep "^$library/" | while read -r file; do
    mkdir -p "$dir/lib/$(dirname "${file#"$library"/}")"
    cp "$file" "$dir/lib/${file#"$library"/}"
done

# QEMU behind a wrapper that exchanges the network back end of vhost-user for $NETDEV, if that is set.
qemu=$(PATH="$PATH:/usr/sbin" command -v qemu-system-x86_64)
cat >"$dir/bin/qemu-system-x86_64" <<END
#!/usr/bin/python3
import os, sys
netdev, words = os.environ.get("NETDEV"), sys.argv[1:]
for i, w in enumerate(words):
    if netdev and w.startswith("socket,id=peer0"):
        words[i] = "null,id=peer0"
    if netdev and w.startswith("vhost-user,"):
        words[i] = netdev.replace(",", ",id=net0,", 1)
    if w.startswith("virtio-net-pci,"):
        words[i] += os.environ.get("CARD", "")
os.execv("$qemu", ["$qemu"] + words)
END
chmod +x "$dir/bin/qemu-system-x86_64"

guest() { # NAME MTU NETDEV CARD KIND: a node, and a guest that uses it
    name=$1
    timeout -k 5 100 "$WHERRY" memnode --netdev "$5:$dir/net" --ip 10.77.0.1 --memory 16M --drain 0 \
        >"$dir/node" 2>&1 </dev/null &
    node=$!
    guests="$guests $node"
    tries=100
    while [ ! -S "$dir/net" ] && [ $tries -gt 0 ]; do
        sleep 0.1
        tries=$((tries - 1))
    done
    PATH="$dir/bin:$PATH" NETDEV=$3 CARD=$4 timeout -k 5 80 "$WHERRY" run -q --timeout 70 --kernel linux \
        -m 256M --machine q35 --net "vhost-user:$dir/net,ip=10.77.0.2/24,gw=10.77.0.1" \
        -v "$dir/lib:$library" -v "$dir/t:/t" "$python" -- -I -S /t/guest.py "$2" >"$dir/out" 2>&1 </dev/null
    grep -q '^guest: all is well' "$dir/out"
    ok $? "$name"
    kill "$node"
    wait "$node"
    tail -n 1 "$dir/node" | "$python" -c '
import json, sys
s = json.loads(sys.stdin.read())
r, d = s["responder"], s["dropped"]
sys.exit(not (r["writes"] >= 10 and r["reads"] >= 10 and r["nak_access"] == 1 and not any(d.values())))'
    ok $? "... and the node has seen no packet that was not right"
}

guest "over a unix stream, a page in a packet" 4096 "stream,server=off,addr.type=unix,addr.path=$dir/net" \
    ",host_mtu=9000" stream
guest "over unix datagrams" 1024 \
    "dgram,local.type=unix,local.path=$dir/guest,remote.type=unix,remote.path=$dir/net" "" dgram
if [ -x "$WHERRY_B/bin/wherry-memnode" ]; then
    guest "over vhost-user" 1024 "" "" vhost-user
else
    skip "over vhost-user" "there is no wherry-memnode, which needs DPDK (scripts/deps dpdk)"
fi
finish
