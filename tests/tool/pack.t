#!/bin/sh
# Proves what --dry-run and --initrd-out show: the packed root file system, in the eyes of GNU
# cpio and of the tool's own reader, and the command lines.
# shellcheck disable=SC1091,SC2016,SC2086,SC2154 # words on purpose; lib.sh sets the variables
. "$(dirname "$0")/lib.sh"
cd "$dir" || exit 1

head -c 4096 /dev/zero >bz # a bzImage as far as a dry run looks
printf HdrS | dd of=bz bs=1 seek=514 conv=notrunc 2>/dev/null
run="run --kernel $dir/bz --dry-run --accel tcg"
mkdir -p site/sub lib
echo index >site/index.html
ln site/index.html site/hard.html
ln -s index.html site/soft.html
head -c 100000 /dev/urandom >site/sub/large
printf 'int foo(void) { return 3; }\n' >foo.c
printf 'int foo(void); int main(void) { return foo(); }\n' >main.c
printf 'int main(void) { return 5; }\n' >plain.c
gcc -shared -fPIC -Wl,-soname,libfoo.so.9 -o lib/libfoo.so.9.1 foo.c
ln -s libfoo.so.9.1 lib/libfoo.so.9
ln -s libfoo.so.9 lib/libfoo.so
gcc -o prog main.c -Llib -lfoo -Wl,-rpath,'$ORIGIN/lib'
gcc -o oldprog main.c -Llib -lfoo -Wl,--disable-new-dtags,-rpath,'${ORIGIN}/lib'
gcc -shared -fPIC -o plugin.so foo.c -Wl,--no-as-needed -lz 2>/dev/null ||
    gcc -shared -fPIC -o plugin.so foo.c -Wl,--no-as-needed -lm
ln -s prog alias
real=$(pwd -P)

w $run --initrd-out a.cpio -v "$dir/site:/srv/www:ro" ./prog
prints "program is packed under its own path" " $real/prog"
prints "library link is packed" " $real/lib/libfoo.so.9 -> libfoo.so.9.1"
prints "library file is packed" " $real/lib/libfoo.so.9.1"
prints "interpreter is packed" "ld-linux-x86-64.so.2"
prints "libc is packed" "libc.so.6"
prints "volume is packed without write permission" "-0444"
prints "volume's link is packed" "/srv/www/soft.html -> index.html"
prints "name service configuration" " /etc/nsswitch.conf"
prints "name server of the user network" " /etc/resolv.conf"
prints "loader cache" " /etc/ld.so.cache"
grep -qE '^d1777 .* /tmp$' "$dir/out"
ok $? "/tmp is everybody's"

w $run ./oldprog
prints "RPATH with a braced token" " $real/lib/libfoo.so.9.1"
w $run ./alias
prints "a link to a program stays a link" " $real/alias -> prog"
grep -q "init=$real/alias " "$dir/out"
ok $? "... and is what is started"
w $run -v "$dir/plugin.so:/plugin.so" ./prog
grep -qE ' /usr/lib/.*/lib(z|m)\.so' "$dir/out" || grep -qE ' /lib/.*/lib(z|m)\.so' "$dir/out"
ok $? "libraries of a plugin given with -v are packed"

cp a.cpio b.cpio
w $run --initrd-out a.cpio -v "$dir/site:/srv/www:ro" ./prog
cmp -s a.cpio b.cpio
ok $? "the same input gives the same archive"
w $run --compress gzip --initrd-out a.gz -v "$dir/site:/srv/www:ro" ./prog
cp a.gz b.gz
sleep 1
w $run --compress gzip --initrd-out a.gz -v "$dir/site:/srv/www:ro" ./prog
cmp -s a.gz b.gz
ok $? "... compressed too"

# The guest's init for Linux is in an archive in front: a.cpio holds two. GNU cpio reads one, so
# the root file system is what starts at the page boundary behind the first trailer.
start=$(grep -abo 'TRAILER!!!' a.cpio | head -n 1 | cut -d: -f1)
start=$((((start + 11 + 4095) / 4096) * 4096))
tail -c +$((start + 1)) a.cpio >rootfs.cpio
mkdir x
(cd x && cpio -idm --no-absolute-filenames <../rootfs.cpio 2>../cpio.err)
[ ! -s cpio.err ] || ! grep -qi 'malformed\|premature\|junk' cpio.err
ok $? "GNU cpio reads the archive without complaint"
cmp -s x/srv/www/sub/large site/sub/large && cmp -s "x$real/prog" prog
ok $? "contents arrive"
[ "$(stat -c %i x/srv/www/index.html)" = "$(stat -c %i x/srv/www/hard.html)" ]
ok $? "hard links stay hard links"
[ "$(readlink x/srv/www/soft.html)" = index.html ]
ok $? "symbolic links stay symbolic links"
at=$(LC_ALL=C grep -abo 'srv/www/sub/large' rootfs.cpio | head -n 1 | cut -d: -f1)
cmp -s -n 100000 -i "$((((at + 17 + 4095) / 4096) * 4096)):0" rootfs.cpio site/sub/large
ok $? "a large file starts on a page"

# The dynamic loader itself is the judge of its cache: it finds each library at its first try.
gcc -o plain plain.c -Wl,--no-as-needed -lm
w $run --initrd-out p.cpio ./plain
if [ "$(id -u)" -eq 0 ]; then
    start=$(grep -abo 'TRAILER!!!' p.cpio | head -n 1 | cut -d: -f1)
    tail -c +$((((start + 11 + 4095) / 4096) * 4096 + 1)) p.cpio >prootfs.cpio
    mkdir p
    (cd p && cpio -idm <../prootfs.cpio 2>/dev/null)
    LD_DEBUG=libs chroot p "$real/plain" >debug 2>&1
    [ $? -eq 5 ]
    ok $? "the program starts in the packed root alone"
    [ "$(grep -c 'search cache=/etc/ld.so.cache' debug)" -ge 2 ] && ! grep -q 'search path' debug
    ok $? "its loader finds all libraries by the packed cache"
else
    skip "the program starts in the packed root alone" "needs root for chroot"
    skip "its loader finds all libraries by the packed cache" "needs root for chroot"
fi

# A whole root file system, in every form, gives the same listing.
listing() { sed -n '/^# root file system/,$p' "$dir/out" | sed 1d | sed 's/^\(.\{5\}\) .* \//\1 \//'; }
gcc -o x/init plain.c
w $run --rootfs x "$real/prog"
prints "root file system from a directory" " $real/prog"
listing >dir.list
(cd x && find . | sort | cpio -o -H newc >../x.cpio 2>/dev/null)
(cd x && tar cf ../x.tar . && tar cJf ../x.tar.xz .)
gzip -k x.cpio
zstd -q x.cpio -o x.cpio.zst
for f in x.cpio x.tar x.cpio.gz x.cpio.zst x.tar.xz; do
    w $run --rootfs $f "$real/prog"
    listing >file.list
    [ "$status" -eq 0 ] && cmp -s dir.list file.list
    ok $? "root file system from $f"
done
echo 1 >one && echo 2 >two
{ echo one | cpio -o -H newc 2>/dev/null; cat x.cpio.gz; } >joined.cpio
w $run --rootfs joined.cpio "$real/prog"
prints "archives one after the other, compressed or not" " /one"
w $run ./x.tar
grep -q ' init=/init ' "$dir/out"
ok $? "an image starts its /init"

w $run -p 8080:80 -p 0.0.0.0:53:53/udp ./prog -- --save '' 'two words'
prints "port forwardings" "hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:0.0.0.0:53-:53"
prints "arguments are quoted as kernels read them" '-- --save "" "two words"'
w $run -e 'A=b c' -e D=e ./prog
prints "environment" '"A=b c" D=e'
w $run --net none ./prog
[ "$status" -eq 0 ] && ! grep -q 'virtio-net\|ip=' "$dir/out"
ok $? "no network, no card"
w $run --net tap:tap7,ip=10.1.2.3/24,gw=10.1.2.1 ./prog
prints "tap interface" "ip=10.1.2.3::10.1.2.1:255.255.255.0::eth0:off"
w $run --machine q35 --net tap:tap7,ip=10.1.2.3/24,mrg_rxbuf=off,event_idx=off ./prog
prints "what a card on a tap offers" ",romfile=,mrg_rxbuf=off,event_idx=off"
vhost="--net vhost-user:$dir/net.sock,ip=10.77.0.2/24,gw=10.77.0.1"
w $run --machine q35 $vhost,packed=on,rx_queue_size=1024,queues=2 ./prog
prints "vhost-user: memory that the peer shares" \
    "smbus=off,vmport=off,memory-backend=memory -object memory-backend-memfd,id=memory,size=256M,share=on"
prints "vhost-user: the peer's socket, again and again" \
    "-chardev socket,id=peer0,reconnect=1,path=$dir/net.sock -netdev vhost-user,id=net0,chardev=peer0,queues=2"
prints "vhost-user: the card" \
    "mac=02:57:0a:4d:00:02,disable-legacy=on,romfile=,mq=on,vectors=0,packed=on,rx_queue_size=1024"
prints "vhost-user: the address" "ip=10.77.0.2::10.77.0.1:255.255.255.0::eth0:off"
w $run --net tap:tap7,ip=10.1.2.3/24,gw=10.1.2.1,queues=3 ./prog
prints "several queues on a tap" "-netdev tap,id=net0,ifname=tap7,script=no,downscript=no,queues=3"
prints "... of a card on PCI or not" ",mq=on"
w $run --cpus 2 ./prog
prints "two CPUs for Linux" "-smp 2,maxcpus=3"
for m in microvm q35 pc; do
    w $run --machine $m ./prog
    prints "machine $m" "-machine $m"
done
w $run ./prog
prints "TCG has memory barriers: threads and room for a second CPU" \
    "-accel tcg,thread=multi -smp 1,maxcpus=2"
w run -h
prints "help" "--publish"
w doctor
grep -q '^ok\|^missing\|^MISSING' "$dir/out"
ok $? "doctor prints a table"
if command -v qemu-system-x86_64 >/dev/null; then
    for what in "event index" "indirect" "merged buffers" "packed rings" "in-order rings" "queue pairs"; do
        [ "$(grep -c "virtio $what" "$dir/out")" -eq 1 ] || break
        what=
    done
    [ -z "$what" ] && grep -q '^ok  *vhost-user\|^missing  *vhost-user' "$dir/out" && grep -q '  *DPDK ' "$dir/out"
    ok $? "... with what this QEMU's virtio devices offer, a line each"
    has=missing
    qemu-system-x86_64 -device virtio-net-pci,help 2>&1 </dev/null | grep -q '^  in_order=' && has=ok
    grep -q "^$has  *virtio in-order rings" "$dir/out"
    ok $? "... as QEMU itself says"
else
    skip "doctor on virtio devices" "there is no QEMU"
fi
finish
