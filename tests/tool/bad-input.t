#!/bin/sh
# Proves that each mistake of a user ends in one line that names it, before anything boots.
# shellcheck disable=SC1091,SC2016,SC2034,SC2059,SC2086,SC2123,SC2154,SC2238 # words on purpose
. "$(dirname "$0")/lib.sh"
cd "$dir" || exit 1

bin=$(command -v busybox) || bin=/bin/true
: >kernel
printf 'int main(void) { return 0; }\n' >main.c
printf 'int foo(void); int main(void) { return foo(); }\n' >usesfoo.c
printf 'int foo(void) { return 0; }\n' >foo.c
gcc -o good main.c
gcc -static -o kernel main.c # any ELF file that is not a kernel
gcc -shared -fPIC -Wl,-soname,libfoo.so.9 -o libfoo.so foo.c
gcc -o needsfoo usesfoo.c -L. -lfoo
gcc -c main.c -o object.o
gcc -o nointerp main.c -Wl,--dynamic-linker=/lib/ld-none.so.1
patch_byte() { # FROM TO OFFSET OCTAL
    cp "$1" "$2"
    printf "\\$4" | dd of="$2" bs=1 seek="$3" conv=notrunc 2>/dev/null
}
patch_byte good arm 18 267
patch_byte good bits32 4 001
echo hello >text
: >empty
head -c 100 good >cut
head -c 3000 good >cut2
printf '#!/usr/bin/python3\n' >script

dry="run --kernel linux --dry-run"
# Debian's kernel may not be installed here; any image with a boot header does for a dry run.
if ! ls /boot/vmlinuz-* >/dev/null 2>&1; then
    head -c 4096 /dev/zero >bz
    printf HdrS | dd of=bz bs=1 seek=514 conv=notrunc 2>/dev/null
    dry="run --kernel $dir/bz --dry-run"
fi

refuses "text file" "is not an ELF file" $dry ./text
refuses "empty file" "is not an ELF file" $dry ./empty
refuses "program headers cut off" "truncated" $dry ./cut
refuses "segment cut off" "truncated" $dry ./cut2
refuses "foreign architecture" "64-bit ARM" $dry ./arm
refuses "32-bit ELF" "32-bit" $dry ./bits32
refuses "object file" "object file" $dry ./object.o
refuses "shared library" "shared library, not a program" $dry ./libfoo.so
refuses "script: says how to run it" "/usr/bin/python3 -- /script" $dry ./script
refuses "missing interpreter is named" "/lib/ld-none.so.1" $dry ./nointerp
refuses "missing library is named" "libfoo.so.9" $dry ./needsfoo
refuses "... with who wants it" "needsfoo" $dry ./needsfoo
refuses "no such program in PATH" "is not in PATH" $dry no-such-program
refuses "program in this directory without ./" "./good" $dry good
refuses "no such file" "No such file" $dry ./none
refuses "FIFO" "not a regular file" $dry /dev/null
refuses "no program" "name a program" run

echo text | cpio -o -H newc >ok.cpio 2>/dev/null
head -c 100 ok.cpio >cut.cpio
sed 's/070701/0707zz/' ok.cpio >corrupt.cpio
gzip -kc ok.cpio | head -c 40 >cut.cpio.gz
tar cf ok.tar text
head -c 700 ok.tar >cut.tar
{ cat ok.cpio && echo trailing garbage; } >garbage.cpio
refuses "cut cpio" "cut.cpio" $dry --rootfs cut.cpio /text
refuses "corrupt cpio" "corrupt.cpio" $dry --rootfs corrupt.cpio /text
refuses "cut gzip" "cut.cpio.gz" $dry --rootfs cut.cpio.gz /text
refuses "cut tar" "cut.tar" $dry --rootfs cut.tar /text
refuses "garbage behind a cpio" "garbage.cpio" $dry --rootfs garbage.cpio /text
refuses "root file system that is no archive" "neither a cpio nor a tar" $dry --rootfs text /text
refuses "no such root file system" "No such file" $dry --rootfs none /text
refuses "program not in it" "no /none in root" $dry --rootfs ok.cpio /none
refuses "program in it is not ELF" "not an ELF" $dry --rootfs ok.cpio /text
refuses "no init in an image" "neither /init nor /sbin/init" $dry ./ok.tar
mkdir root && cp needsfoo root/
refuses "interpreter missing in a root file system" "interpreter of /needsfoo" $dry --rootfs root /needsfoo

refuses "unknown command" "did you mean run" rnu
refuses "unknown option with a hint" "did you mean --memory" run --memry 1 x
refuses "unknown option" "unknown option --frobnicate" run --frobnicate x
refuses "option without its value" "needs a value" run -m
refuses "value of an option that takes none" "takes no value" run --dry-run=yes x
refuses "argument without --" "behind --" run x y
refuses "bad memory size" "-m lots" run -m lots x
refuses "too little memory for any guest" "-m 1M" run -m 1M x
refuses "bad port" "-p 0:80" run -p 0:80 x
refuses "port given twice" "twice" run -p 8080:80 -p 8080:81 x
refuses "ports without a network" "--net none" run --net none -p 1:1 x
refuses "ports with a tap" "address of its own" run --net tap:t,ip=10.0.0.2/24 -p 1:1 x
refuses "ports with a vhost-user socket" "address of its own" \
    run --net vhost-user:/s,ip=10.0.0.2/24 -p 1:1 x
refuses "a word for the card that is none" "unknown word mac=1" \
    run --net vhost-user:/s,ip=10.0.0.2/24,mac=1 x
if [ -e "${WHERRY_KERNEL:-}" ]; then
    refuses "two CPUs for Wherry" "--cpus 2" run --cpus 2 ./good
fi
refuses "two user networks" "one user network" run --net user --net dhcp x
refuses "none and another network" "excludes others" run --net user --net none x
refuses "a tap twice" "tap:t is given twice" run --net tap:t,ip=10.0.0.2/24 --net tap:t,ip=10.0.1.2/24 x
refuses "top of nobody" "name the guest's counters" top
refuses "top without a port" "name the guest's counters" top 10.0.0.2
refuses "top of two" "one guest at a time" top 10.0.0.2:1 10.0.0.3:1
refuses "top too often" "-i 0: a number" top -i 0 10.0.0.2:1
refuses "top of a closed port" "Connection refused" top 127.0.0.1:1
refuses "a guide that there is not" "there is no guide" run --far 10.0.0.9,size=1G,prefetch=guide:none-such x
refuses "a guide's impossible name" "a guide's name has" run --far 10.0.0.9,size=1G,prefetch=guide:A.so x
refuses "a socket twice" "the socket /s is given twice" \
    run --net vhost-user:/s,ip=10.0.0.2/24 --net vhost-user:/s,ip=10.0.1.2/24 x
refuses "an address twice" "two cards have the address 10.0.0.2" \
    run --net tap:t,ip=10.0.0.2/24 --net tap:u,ip=10.0.0.2/24 x
refuses "five cards" "at most 4" run --net user --net tap:t,ip=10.0.0.2/24 --net tap:u,ip=10.0.1.2/24 \
    --net tap:v,ip=10.0.2.2/24 --net tap:w,ip=10.0.3.2/24 x
refuses "nine queues" "queues=1 to 8" run --net tap:t,ip=10.0.0.2/24,queues=9 x
refuses "bad network" "--net carrier-pigeon" run --net carrier-pigeon x
refuses "bad machine" "one of microvm" run --machine vax x
refuses "bad accelerator" "one of auto" run --accel magic x
refuses "bad VMM" "one of qemu" run --vmm vmware x
refuses "bad compression" "one of none" run --compress rar x
refuses "bad place of the root" "one of auto" run --root nfs x
refuses "bad time limit" "--timeout soon" run --timeout soon x
refuses "bad volume" "absolute guest path" run -v a:b x
refuses "writable volume" "cannot reach the host" run -v /a:/b:rw x
refuses "missing volume" "-v /none" $dry -v /none:/x ./good
refuses "environment without a value" "NAME=VALUE" run -e WHERRY_TEST_UNSET x
refuses "environment name that kernels take" "parameter of their own" $dry -e init=/x ./good
refuses "argument that no command line carries" "argument 2" $dry ./good -- a 'b"c'
refuses "arguments that do not fit" "too long" $dry ./good -- "$(printf '%2100s' x)"
refuses "root file system larger than memory" "does not fit" $dry -m 16M ./good
refuses "a disk root for Linux" "--root disk is Wherry's own" $dry --root disk ./good
refuses "kernel that is none" "neither a bzImage nor an ELF" run --kernel ./text ./good
refuses "kernel without a PVH entry" "no PVH entry" run --kernel ./kernel ./good
refuses "no such kernel" "none-kernel" run --kernel ./none-kernel ./good
WHERRY_KERNEL=/none/such refuses "no Wherry kernel" "/none/such" run ./good
refuses "strace of a Linux guest" "--strace is Wherry's" $dry --strace ./good
refuses "DHCP of a Linux guest" "no DHCP client" $dry --net dhcp ./good
refuses "DHCP of its second card" "no DHCP client" $dry --net tap:t,ip=10.0.0.2/24 --net dhcp ./good
refuses "Linux without ACPI" "microvm-noacpi" $dry --machine microvm-noacpi ./good
refuses "user network with cloud-hypervisor" "no user networking" $dry --vmm cloud-hypervisor ./good
refuses "two cards with firecracker" "needs --vmm qemu" run --dry-run --vmm firecracker \
    --net tap:t,ip=10.0.0.2/24 --net tap:u,ip=10.0.1.2/24 ./good
refuses "bzImage with firecracker" "bzImage" $dry --vmm firecracker --net none ./good
refuses "no such tap" "no tap interface nonesuch0" run --kernel linux \
    --net tap:nonesuch0,ip=10.9.9.2/24 "$bin"
refuses "vhost-user without PCI" "use --machine q35" $dry --net vhost-user:/s,ip=10.0.0.2/24 ./good
refuses "no such socket" "start the peer first" run --kernel linux --machine q35 \
    --net "vhost-user:$dir/none.sock,ip=10.9.9.2/24" "$bin"

# A real listener makes the port busy. Python is Debian's own, or the test is left out.
if [ -x /usr/bin/python3 ] && ls /boot/vmlinuz-* >/dev/null 2>&1 &&
    command -v qemu-system-x86_64 >/dev/null; then
    /usr/bin/python3 -c 'import socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
print(s.getsockname()[1], flush=True); time.sleep(20)' >port &
    listener=$!
    i=0
    while [ ! -s port ] && [ $i -lt 50 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    refuses "port in use" "is in use" run --kernel linux -p "$(cat port):80" "$bin"
    kill $listener
    mkdir onlytool
    PATH=$dir/onlytool
    export PATH
    status=0
    "$WHERRY" run --kernel linux /usr/bin/python3 -- -V >/dev/null 2>"$dir/qemu.err" || status=$?
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    grep -q "qemu-system-x86_64" "$dir/qemu.err" && [ $status -eq 125 ]
    ok $? "no QEMU: says which package to install"
else
    skip "port in use" "needs QEMU, Linux and python3"
    skip "no QEMU: says which package to install" "needs QEMU, Linux and python3"
fi
finish
