#!/bin/sh
# Proves what include/wherry/tcp.h promises, with a program that uses all of it: echoes of any size at any
# pace, bytes that are not taken and come again, memory sent by reference and given back, back-pressure both
# ways, half-closed, closed, aborted, idle and surplus connections, both IP versions, and that nothing is left
# behind.
# limit: 120
# shellcheck disable=SC1091,SC2154,SC2086 # lib.sh's variables; $client is words
. "$(dirname "$0")/lib.sh"
need gcc nm
[ -x "$python" ] || plan_skip "there is no $python"
[ -f "$WHERRY_B/native/config" ] || plan_skip "there is no $WHERRY_B/native/config (make apps)"
use_tap || plan_skip "needs a tap interface"
cd "$dir" || exit 1

cat >all.c <<'C'
#include <string.h>
#include <wherry/app.h>
#include <wherry/tcp.h>

#define SMALL (1500u << 10) /* in pages of 4 KiB */
#define LARGE (5u << 20)    /* of 2 MiB */

#define PAGES 900

static char *small, *large;
static void *holes[PAGES];
static size_t given_back;
static unsigned opens, closes, ends, writables;
static int last_error;

static void gone(const void *data, size_t len)
{
    given_back += len;
}

static void opened(struct wherry_tcp *c)
{
    opens++;
}

static void closed(struct wherry_tcp *c, int error)
{
    closes++;
    last_error = -error;
}

static void resume(struct wherry_tcp *c)
{
    writables++;
    wherry_tcp_resume(c);
}

/* 7: sends back what there is room for. */
static size_t echo(struct wherry_tcp *c, const uint8_t *data, size_t len)
{
    long n = wherry_tcp_send(c, &(struct wherry_tcp_span){.data = data, .len = len}, 1);

    return n > 0 ? (size_t)n : 0;
}

/* 8: the same with whole lines only; an empty one aborts. */
static size_t lines(struct wherry_tcp *c, const uint8_t *data, size_t len)
{
    size_t done = 0;
    const uint8_t *end;

    while ((end = memchr(data + done, '\n', len - done)) != NULL) {
        size_t n = (size_t)(end - data) + 1 - done;

        if (n == 1) {
            wherry_tcp_abort(c);
            return done;
        }
        if (!wherry_tcp_has_room(c, n))
            break;
        wherry_tcp_send(c, &(struct wherry_tcp_span){.data = data + done, .len = n}, 1);
        done += n;
    }
    return done;
}

/* 9: takes nothing. */
static size_t nothing(struct wherry_tcp *c, const uint8_t *data, size_t len)
{
    return 0;
}

/* 13: what has happened. */
static size_t report(struct wherry_tcp *c, const uint8_t *data, size_t len)
{
    char text[320], peer[56];
    struct wherry_tcp_stats s;
    int n;

    wherry_tcp_stats(&s);
    wherry_tcp_peer(c, peer, sizeof(peer));
    n = wherry_format(text, sizeof(text),
                      "connections %lu kept %lu idle %lu lost %lu memory %lu gone %zu opens %u closes %u ends %u "
                      "writables %u error %d peer %s\n",
                      s.connections, s.kept_bytes, s.idle, s.lost, s.no_memory, given_back, opens, closes, ends,
                      writables, last_error, peer);
    wherry_tcp_send(c, &(struct wherry_tcp_span){.data = text, .len = (size_t)n}, 1);
    wherry_tcp_close(c);
    return 0;
}

/* 14: when the peer has ended, says how much it has sent. */
static size_t count(struct wherry_tcp *c, const uint8_t *data, size_t len)
{
    *(size_t *)wherry_tcp_context(c) += len;
    return len;
}

static void ended(struct wherry_tcp *c)
{
    char text[32];
    int n = wherry_format(text, sizeof(text), "%zu\n", *(size_t *)wherry_tcp_context(c));

    ends++;
    wherry_tcp_send(c, &(struct wherry_tcp_span){.data = text, .len = (size_t)n}, 1);
    wherry_tcp_close(c);
}

/* 19: asked for 's' or 'l', sends that memory by reference, from an odd address on, between two copied
 * words, and closes. */
struct source {
    struct wherry_tcp_span rest[3];
};

static void more(struct wherry_tcp *c)
{
    struct source *s = wherry_tcp_context(c);
    long n = wherry_tcp_send(c, s->rest, 3);
    bool done = true;

    for (unsigned i = 0; i < 3 && n >= 0; i++) {
        size_t taken = (size_t)n < s->rest[i].len ? (size_t)n : s->rest[i].len;

        s->rest[i].data = (const char *)s->rest[i].data + taken;
        s->rest[i].len -= taken;
        n -= (long)taken;
        done = done && s->rest[i].len == 0;
    }
    if (done && n == 0)
        wherry_tcp_close(c);
}

static size_t source(struct wherry_tcp *c, const uint8_t *data, size_t len)
{
    struct source *s = wherry_tcp_context(c);
    bool is_small = data[0] == 's';

    s->rest[0] = (struct wherry_tcp_span){.data = "begin", .len = 5};
    s->rest[1] = (struct wherry_tcp_span){.data = (is_small ? small : large) + 3,
                                          .len = (is_small ? SMALL : LARGE) - 3,
                                          .keep = true,
                                          .gone = gone};
    s->rest[2] = (struct wherry_tcp_span){.data = "end", .len = 3};
    more(c);
    return len;
}

static const struct wherry_tcp_service services[] = {
    {.port = 7, .received = echo, .writable = resume, .opened = opened, .closed = closed},
    {.port = 8, .received = lines, .writable = resume, .opened = opened, .closed = closed},
    {.port = 9, .received = nothing, .closed = closed, .idle = 2},
    {.port = 13, .received = report},
    {.port = 14, .received = count, .ended = ended, .context = sizeof(size_t)},
    {.port = 15, .received = echo, .max = 3},
    {.port = 19, .received = source, .writable = more, .closed = closed, .context = sizeof(struct source)},
};

int main(int argc, char **argv)
{
    struct wherry_tcp_service bad = {.port = 7, .received = echo};

    for (unsigned i = 0; i < PAGES; i++)
        holes[i] = wherry_alloc(4096);
    for (unsigned i = 0; i < PAGES; i += 2)
        wherry_free(holes[i]); /* the pages of small, which thus do not lie together */
    small = wherry_alloc(SMALL);
    large = wherry_alloc(LARGE);
    if (!small || !large)
        return 1;
    for (unsigned i = 0; i < LARGE; i++) {
        large[i] = (char)('a' + i / 7 % 26);
        if (i < SMALL)
            small[i] = (char)('A' + i / 5 % 26);
    }
    for (unsigned i = 0; i < sizeof(services) / sizeof(services[0]); i++)
        if (wherry_tcp_listen(&services[i]) != 0)
            return 2;
    if (wherry_tcp_listen(&bad) != -EADDRINUSE)
        return 3;
    bad.port = 0;
    if (wherry_tcp_listen(&bad) != -EINVAL)
        return 4;
    wherry_print("ready\n");
    for (;;)
        if (!wherry_tcp_run() && argc == 1)
            wherry_tcp_wait(WHERRY_FOREVER);
}
C
cat >ask.py <<'P'
"""ask.py HOST WHAT: one of the functions below."""
import os, random, socket, struct, sys, threading, time
host, what = sys.argv[1:3]
def connect(port, to=host, **options):
    s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET)
    for name, value in options.items():
        s.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
    s.settimeout(15)
    s.connect((to, port))
    return s
def rest(s, pause=0, piece=1 << 16):
    got = bytearray()
    while True:
        b = s.recv(piece)
        if not b:
            return bytes(got)
        got += b
        time.sleep(pause)
def report():
    s = connect(13)
    s.send(b"?")
    words = rest(s).decode().split()
    return {k: v if k == "peer" else int(v) for k, v in zip(words[::2], words[1::2])}
def resets(s):
    try:
        s.sendall(b"x")
        return s.recv(10) == b"nothing comes" or "it ends, without a reset"
    except ConnectionResetError:
        return True
def up():
    assert report()["opens"] == 0
def echo():
    for n in (1, 2, 1459, 1460, 1461, 5000, 100000, 1500000):
        s, data = connect(7), os.urandom(n)
        t = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        t.start()
        got = rest(s)
        t.join()
        assert got == data, (n, len(got))
def trickle():
    s, data = connect(8), b"a line that comes one by one\n"
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(len(data)):
        s.send(data[i : i + 1])
        time.sleep(0.002)
    assert s.recv(100) == data
def lines():
    rand = random.Random(5)
    data = [b"x" * rand.choice((1, 10, 700, 3000, 20000)) + b"\n" for _ in range(150)] + [b"y" * 60000 + b"\n"]
    s = connect(8)
    t = threading.Thread(target=lambda: (s.sendall(b"".join(data)), s.shutdown(socket.SHUT_WR)))
    t.start()
    time.sleep(1) # it waits for room
    assert rest(s) == b"".join(data)
    t.join()
    r = report()
    assert r["kept"] == 0 and r["writables"] > 0, r
def sender_waits():
    s = connect(7, SO_RCVBUF=4096)
    s.settimeout(1)
    data, sent = os.urandom(6000000), 0
    try:
        while True:
            sent += s.send(data[sent : sent + 65536])
    except socket.timeout:
        pass
    assert 300000 < sent < 5900000, sent # what lies in buffers: ours, its window, what it sends
    s.settimeout(15)
    kept = report()["kept"]
    assert 0 < kept <= 65536, kept
    t = threading.Thread(target=lambda: (s.sendall(data[sent:]), s.shutdown(socket.SHUT_WR)))
    t.start()
    got = rest(s)
    t.join()
    assert got == data
    r = report()
    assert r["writables"] > 1 and r["kept"] == 0, r
def by_reference():
    want = {"s": (1500 << 10, 5, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"), "l": (5 << 20, 7, b"abcdefghijklmnopqrstuvwxyz")}
    for which, (n, step, letters) in want.items():
        pattern = (b"".join(bytes([c]) * step for c in letters) * (n // 26 // step + 2))[3:n]
        before = report()["gone"]
        for pause, piece in ((0, 1 << 16), (0.0005, 9000)):
            s = connect(19)
            s.send(which.encode())
            got = rest(s, pause, piece)
            assert got == b"begin" + pattern + b"end", (which, len(got))
        for _ in range(20): # the last segments come back when the device has told of them
            after = report()["gone"]
            if after - before == 2 * (n - 3):
                break
            time.sleep(0.1)
        assert after - before == 2 * (n - 3), (which, after - before)
def cut_off():
    """Who goes away in the middle: the memory comes back."""
    before = report()["gone"]
    for _ in range(5):
        s = connect(19, SO_RCVBUF=4096)
        s.send(b"l")
        s.recv(1000)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    time.sleep(0.5)
    r = report()
    assert r["error"] == 104 and r["connections"] == 1, r
    assert before < r["gone"], r
def half_closed():
    s, data = connect(14), os.urandom(500000)
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    assert rest(s) == b"500000\n"
    assert report()["ends"] == 1
def aborted():
    s = connect(8)
    s.sendall(b"one\n\ntwo\n")
    try:
        rest(s)
        raise SystemExit("no reset")
    except ConnectionResetError:
        pass
def idle():
    closes, s, t = report()["closes"], connect(9), time.time()
    s.send(b"never taken")
    try:
        s.recv(1)
        raise SystemExit("no reset")
    except ConnectionResetError:
        pass
    assert 1.9 < time.time() - t < 5, time.time() - t
    r = report()
    assert r["idle"] == 1 and r["error"] == 110 and r["closes"] == closes + 1 and r["kept"] == 0, r
def surplus():
    s = [connect(15) for _ in range(3)]
    fourth = socket.socket()
    fourth.settimeout(0.7)
    try:
        fourth.connect((host, 15))
        raise SystemExit("a fourth connection")
    except socket.timeout:
        pass
    fourth.close() # or it takes the next place
    s[0].close()
    fourth = connect(15)
    fourth.send(b"now")
    assert fourth.recv(3) == b"now"
    for one in s[1:]:
        one.send(b"still")
        assert one.recv(5) == b"still"
def no_service():
    try:
        connect(4242)
        raise SystemExit("somebody listens")
    except ConnectionRefusedError:
        pass
def ip6():
    s = connect(7, "fd99::2")
    s.send(b"six")
    assert s.recv(3) == b"six"
    s = connect(13, "fd99::2")
    s.send(b"?")
    assert b" peer [FD99::1]:" in rest(s)
def many():
    """Nothing is left of thousands of connections."""
    for i in range(1000):
        s = connect(7)
        if i % 3:
            s.send(b"x" * (i % 2000 + 1))
        if i % 5 == 0:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif i % 3:
            assert s.recv(1) == b"x"
        s.close()
    time.sleep(0.5)
    r = report()
    assert r["connections"] == 1 and r["kept"] == 0 and r["memory"] == 0 and r["opens"] >= 1000, r
    print(r)
globals()[what]()
P

passes "wherry cc links the program" "$WHERRY" cc all.c
for symbol in sys_read vfs_open answer_arp dgram_deliver; do
    ! nm all.elf | grep -qw "$symbol"
    ok $? "... without $symbol"
done
serve "7 8 9 13 14 15 19" -m 48M --append wherry.ip6=fd99::2/64 ./all
wait_for 30 $client $python ask.py "$host" up
ok $? "it boots"
while read -r what name; do
    LIMIT=30 passes "$name" $client $python ask.py "$host" "$what"
done <<'W'
echo everything comes back, 1 byte to 1.5 MB
trickle bytes that are not taken come again with those that follow
lines whole lines, up to a window long
sender_waits a peer that does not read makes the program wait, and its sender
by_reference memory is sent where it lies, and is given back once
cut_off a connection that is reset
half_closed the peer has ended, and is still answered
aborted a connection that the program aborts
idle one that does nothing is reset
surplus more than max connections have to wait
no_service a port that nobody listens on
ip6 all of it over IPv6
many a thousand connections leave nothing behind
W
diag "$(cat out)"
healthy "nothing to complain of"
stop
serve 9 -m 48M ./all -- poll
wait_for 30 $client $python ask.py "$host" up
LIMIT=30 passes "timers run in a program that never sleeps" $client $python ask.py "$host" idle
finish
