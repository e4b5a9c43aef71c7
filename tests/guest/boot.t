#!/bin/sh
# Proves that one image boots on each machine, with each kind of root file system and program,
# that exit statuses arrive, and that what is wrong ends in a clear line instead of a hang.
# limit: 180
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need gcc busybox
cd "$dir" || exit 1

cat >exit.c <<'C'
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv)
{
    printf("hello from %s\n", argv[0]);
    fflush(stdout);
    if (argc > 1 && !strcmp(argv[1], "segv"))
        *(volatile int *)8 = 1;
    if (argc > 1 && !strcmp(argv[1], "text"))
        *(volatile char *)main = 1;
    if (argc > 1 && !strcmp(argv[1], "stack")) {
        static int (*volatile again)(int, char **) = main;
        char frame[65536];
        memset(frame, 1, sizeof(frame));
        return again(argc, argv) + frame[argc];
    }
    if (argc > 1 && !strcmp(argv[1], "abort"))
        abort();
    if (argc > 1 && !strcmp(argv[1], "term"))
        raise(SIGTERM);
    return argc > 1 ? atoi(argv[1]) : 0;
}
C
gcc -O1 -w -rdynamic -o dynamic exit.c
gcc -O1 -w -static -o static exit.c
gcc -O1 -w -static-pie -o static-pie exit.c

for machine in microvm microvm-noacpi q35 pc; do
    ends_with 7 "boots on $machine" --machine $machine ./static -- 7
    contains "... with its console" "hello from"
done
ends_with 3 "boots without a fixed processor model: qemu64" --cpu qemu64 ./static -- 3
ends_with 3 "boots on a processor of 2008: Nehalem" --cpu Nehalem ./static -- 3

for status in 0 1 127 255; do
    ends_with $status "exit status $status reaches the host" ./static -- $status
done
ends_with 139 "a wild pointer is SIGSEGV" ./dynamic -- segv
contains "... said on the console" "SIGSEGV"
contains "... with its address" "0000000000000008"
contains "... and with the function it was in" "main"
ends_with 139 "code cannot be written" ./dynamic -- text
ends_with 139 "the stack has an end" ./dynamic -- stack
ends_with 134 "abort() is SIGABRT" ./dynamic -- abort
ends_with 143 "a signal that ends the program" ./dynamic -- term

for kind in static static-pie dynamic; do
    ends_with 5 "a $kind program" ./$kind -- 5
done
for method in none gzip zstd; do
    ends_with 6 "root file system: $method" --compress $method ./dynamic -- 6
done

# Many and large files: every byte arrives.
mkdir -p tree/sub
head -c 3000000 /dev/urandom >tree/large
i=0
while [ $i -lt 300 ]; do
    echo "file $i" >tree/sub/$i
    i=$((i + 1))
done
sum=$(md5sum <tree/large | cut -d' ' -f1)
for method in none gzip zstd; do
    w --compress $method -v "$dir/tree:/tree" busybox -- md5sum /tree/large
    contains "a large file is whole: $method" "$sum"
done
w -v "$dir/tree:/tree" busybox -- ls -1 /tree/sub
[ "$(grep -c '^[0-9]' "$dir/out")" -eq 300 ]
ok $? "300 files are there"

# What is typed before the kernel runs is for the program.
line="longer than the FIFO of the UART"
for machine in microvm microvm-noacpi q35 pc; do
    echo "$line" | timeout -k 5 20 "$WHERRY" run -q --net none --machine $machine busybox -- \
        head -n 1 >"$dir/out" 2>&1
    [ "$(tr -d '\r' <"$dir/out" | tail -n 1)" = "$line" ]
    ok $? "$machine: input that was there before the boot arrives whole"
done

# Clocks: the date, and the rate over two seconds, as the host sees both.
cat >clock.c <<'C'
#include <stdio.h>
#include <time.h>
#include <unistd.h>
static double at(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
int main(void)
{
    double mono = at(CLOCK_MONOTONIC);
    printf("%f\n", at(CLOCK_REALTIME));
    fflush(stdout);
    while (at(CLOCK_MONOTONIC) - mono < 2)
        usleep(10000);
    printf("%f\n", at(CLOCK_REALTIME));
}
C
gcc -O1 -w -static -o clock clock.c
# A busy host may start the machine late, of which neither knows: a wrong clock is wrong three times.
clock_agrees() {
    timeout 20 "$WHERRY" run -q --net none --machine "$1" ./clock 2>&1 </dev/null |
        perl -MTime::HiRes=time -ne 'BEGIN { $| = 1 } s/\r?\n//; printf "%s %.3f\n", $_, time' >out
    console=out
    perl -e '@l = map { [split] } <>; exit 1 if @l != 2; $off = $l[0][0] - $l[0][1];
        $rate = ($l[1][0] - $l[0][0]) / ($l[1][1] - $l[0][1]);
        printf "# off by %.3f s, rate %.4f\n", $off, $rate;
        exit !(abs($off) < 1 && abs($rate - 1) < 0.05)' out
}
for machine in microvm q35; do
    clock_agrees $machine || clock_agrees $machine || clock_agrees $machine
    ok $? "the clock on $machine agrees with the host's"
done

# What the tool would refuse beforehand goes past it to the kernel: QEMU takes the last -initrd,
# and the kernel the last init=.
gives() { # STATUS NAME TEXT ARGS...
    gives_text=$3
    gives_name=$2
    gives_status=$1
    shift 3
    w "$@"
    [ "$status" -eq "$gives_status" ] || diag "status $status, not $gives_status"
    [ "$status" -eq "$gives_status" ] && grep -qiF -- "$gives_text" "$dir/out"
    ok $? "$gives_name"
}
gives 125 "an unknown wherry. word ends the boot" wherry.nonsense --append wherry.nonsense ./static
gives 0 "an unknown word of others does not" "hello" --append nonsense=1 ./static
gives 127 "a missing program is named" /no/such --append init=/no/such ./static
gives 126 "a program that is not executable" "not executable" -v "$dir/exit.c:/c" \
    --append init=/c ./static
chmod +x exit.c
gives 126 "a program that is no ELF file" "ELF" -v "$dir/exit.c:/c" --append init=/c ./static
printf 'this is no archive, whatever the boot loader says' >bad
gives 125 "a root file system that is no archive" "root file system" \
    --vmm-arg -initrd --vmm-arg "$dir/bad" ./static
w --initrd-out good.cpio -v "$dir/tree:/tree" ./static
head -c 1000000 good.cpio >cut.cpio
gives 125 "a cut cpio" "root file system" --vmm-arg -initrd --vmm-arg "$dir/cut.cpio" ./static
gzip -c good.cpio | head -c 100000 >cut.gz
gives 125 "a cut gzip" "root file system" --vmm-arg -initrd --vmm-arg "$dir/cut.gz" ./static
{ zstd -qc good.cpio | head -c 100000 && head -c 100 /dev/urandom; } >cut.zst
gives 125 "a corrupt zstd" "root file system" --vmm-arg -initrd --vmm-arg "$dir/cut.zst" ./static
head -c 60000000 /dev/zero >tree/huge
gives 125 "too little memory for the root file system" "memory" --compress gzip -m 128M \
    -v "$dir/tree:/tree" --vmm-arg -m --vmm-arg 24M ./static

# An application shares the kernel's ring: it can make the kernel panic by calling it.
symbols=${WHERRY_KERNEL}.elf
if [ -f "$symbols" ]; then
    at() { nm "$symbols" | sed -n "s/^\([0-9a-f]*\) [Tt] $1\$/0x\1/p"; }
    cat >panic.c <<C
int main(int argc, char **argv)
{
    if (argc > 1)
        ((void (*)(const char *, const char *, int))$(at memmove))((char *)16, argv[0], 8);
    else
        ((void (*)(const char *, ...))$(at panic))("asked for by %s", "a test");
}
C
    gcc -w -O1 -o panic panic.c
    gives 125 "a panic" "panic: asked for by a test" ./panic
    contains "... names the function that panicked" "main"
    contains "... and the memory" "memory:"
    gives 125 "a fault in the kernel" "panic: " ./panic -- fault
    contains "... names the function it was in" "memmove"
else
    skip "a panic" "no $symbols"
fi
finish
