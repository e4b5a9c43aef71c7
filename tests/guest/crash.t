#!/bin/sh
# Proves that an application's death is told with the right functions, whatever the way it dies, that
# /proc/sysrq-trigger tells where threads hang, and that --strace prints what strace would.
# shellcheck disable=SC1091,SC2154 # dir and status are lib.sh's
. "$(dirname "$0")/lib.sh"
need gcc
cat >"$dir/crash.c" <<'END'
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static volatile int *volatile wild = (int *)16;
static int (*volatile nowhere)(void);
__attribute__((noinline)) int compare(const void *a, const void *b)
{
    *wild = 3;
    return *(const int *)a - *(const int *)b;
}
__attribute__((noinline)) int sort(void)
{
    int v[4] = {4, 3, 2, 1};
    qsort(v, 4, sizeof(int), compare);
    return v[0];
}
__attribute__((noinline)) void on_signal(int sig)
{
    if (sort() == sig)
        puts("odd");
}
__attribute__((noinline)) int recurse(int n)
{
    volatile char b[4096];
    b[5] = (char)n;
    return recurse(n + 1) + b[5];
}
static int ends[2];
void *hang(void *nothing)
{
    char c;
    return read(ends[0], &c, 1) == 1 ? nothing : NULL;
}
int ask(void)
{
    pthread_t thread;
    pipe(ends);
    pthread_create(&thread, NULL, hang, NULL);
    usleep(100000);
    return write(open("/proc/sysrq-trigger", O_WRONLY), "t", 1) != 1;
}
int main(int argc, char **argv)
{
    if (argc < 2)
        return 0;
    if (!strcmp(argv[1], "abort"))
        abort();
    if (!strcmp(argv[1], "nowhere"))
        return nowhere() + 1;
    if (!strcmp(argv[1], "stack"))
        return recurse(1);
    if (!strcmp(argv[1], "ask"))
        return ask();
    if (!strcmp(argv[1], "handler")) {
        signal(SIGUSR1, on_signal);
        raise(SIGUSR1);
    }
    return sort();
}
END
# -rdynamic: a backtrace names what the dynamic symbol table names.
gcc -O1 -w -rdynamic -o "$dir/crash" "$dir/crash.c" || plan_skip "gcc does not work"

# in_order NAME TEXT...: the report has these texts, each below the one before.
in_order() {
    order_name=$1
    order_line=0
    shift
    for text; do
        next=$(tail -n +$((order_line + 1)) "$dir/out" | grep -nF -- "$text" | head -n 1 | cut -d: -f1)
        if [ -z "$next" ]; then
            diag "missing, or out of order: $text"
            false
            ok $? "$order_name"
            return
        fi
        order_line=$((order_line + next))
    done
    ok 0 "$order_name"
}

ends_with 139 "a bad store ends with SIGSEGV's status" "$dir/crash" -- store
in_order "the report has address, mapping and callers through libc" \
    "died of signal 11 (SIGSEGV), writing 0000000000000010" "null pointer?" "code" "backtrace" \
    "(compare+0x" "(qsort_r+0x" "(sort+0x" "(main+0x" "(_start+0x"
ends_with 139 "a crash in a signal handler" "$dir/crash" -- handler
in_order "is traced through the signal frame" "(compare+0x" "(sort+0x" "(on_signal+0x" "gsignal+0x" \
    "(main+0x"
ends_with 134 "abort ends with SIGABRT's status" "$dir/crash" -- abort
in_order "and is traced from the system call" "signal 6 (SIGABRT)" "(abort+0x" "(main+0x"
ends_with 139 "a call of a null function" "$dir/crash" -- nowhere
in_order "names its caller" "executing 0000000000000000" "#0  0000000000000000  not mapped" "(main+0x"
ends_with 139 "endless recursion" "$dir/crash" -- stack
in_order "is called a stack overflow" "stack overflow?" "(recurse+0x"

ends_with 0 "who asks where the threads are is told" "$dir/crash" -- ask
in_order "and where in the kernel one of them sleeps" "thread 1 (crash), running" "thread 2 (crash), blocked" \
    "thread_block+0x" "sys_read+0x" "system call" "(read+0x" "(hang+0x"

# The object and offset of the first frame are what addr2line wants.
w "$dir/crash" -- store
offset=$(sed -n 's/.*crash+\(0x[0-9a-f]*\) (compare+.*/\1/p' "$dir/out" | head -n 1)
[ "$(addr2line -f -e "$dir/crash" "${offset:-0}" | head -n 1)" = compare ]
ok $? "addr2line understands object and offset"

ends_with 0 "a program under --strace" --strace busybox -- cat /etc/passwd
tr -d '\r' <"$dir/out" >"$dir/lines"
grep -qE '^open(at)?\((AT_FDCWD, )?"/etc/passwd", O_RDONLY' "$dir/lines"
ok $? "open is printed with its path and flags"
grep -qE '^exit_group\(0\) +=' "$dir/lines"
ok $? "exit_group is printed with its status"
ends_with 0 "only the calls asked for" --append wherry.strace=exit_group busybox -- true
[ "$(tr -d '\r' <"$dir/out" | grep -cE '^[a-z0-9_]+\(')" -eq 1 ]
ok $? "are printed"
w --append wherry.strace=opne busybox -- true
[ "$status" -ne 0 ] && grep -qF 'there is no system call "opne"' "$dir/out"
ok $? "an unknown call's name stops the boot"
finish
