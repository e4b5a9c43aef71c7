// unit: tools/kcmdline.c tools/ports.c tools/netspec.c tools/farspec.c tools/ldcache.c tools/util.c
/* Proves what the host tool reads and writes in words: kernel command lines, -p, --net, and the
 * dynamic loader's cache. */
#define _GNU_SOURCE
#include "../../tools/farspec.h"
#include "../../tools/kcmdline.h"
#include "../../tools/ldcache.h"
#include "../../tools/netspec.h"
#include "../../tools/ports.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void words_read_back_as_they_were_given(void **state)
{
    static const char *const words[] = {
        "plain",     "",     "two words", "--save",     "K=V",         "K=a b",    "tab\there",
        "a=b=c d",   "=odd", "{\"a\":1}", "{\"a\": 1}", "back\\slash", "'single'", "--port=1 --x=2",
        "new\nline",
    };
    struct strbuf line = {0};
    struct why w;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        assert_true(kcmdline_add(&line, words[i], &w));
    const char *p = line.s;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        char *got = kcmdline_next(&p);
        assert_non_null(got);
        assert_string_equal(got, words[i]);
        free(got);
    }
    assert_null(kcmdline_next(&p));
    free(line.s);
}

static void only_words_that_need_quotes_get_them(void **state)
{
    struct strbuf line = {0};
    struct why w;

    (void)state;
    assert_true(kcmdline_add(&line, "a=b", &w));
    assert_true(kcmdline_add(&line, "c d", &w));
    assert_true(kcmdline_add(&line, "", &w));
    assert_string_equal(line.s, "a=b \"c d\" \"\"");
    free(line.s);
}

static void words_that_no_quoting_carries_are_refused(void **state)
{
    static const char *const words[] = {"\"", "a\"b", "say \"hi\" now x\"", "K=\"v\""};
    struct strbuf line = {0};
    struct why w;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        assert_false(kcmdline_add(&line, words[i], &w));
    assert_int_equal(line.len, 0);
}

static void environment_names_that_kernels_take_are_refused(void **state)
{
    static const char *const bad[] = {"init=/x", "ip=1", "a.b=c", "wherry.strace=1",
                                      "NOVALUE", "=x",   "a-b=c", "panic=1"};
    struct strbuf line = {0};
    struct why w;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(kcmdline_add_env(&line, bad[i], &w));
    assert_true(kcmdline_add_env(&line, "HOME=/root", &w));
    assert_true(kcmdline_add_env(&line, "MSG=two words", &w));
    assert_string_equal(line.s, "HOME=/root \"MSG=two words\"");
    free(line.s);
}

static void ports_parse_in_all_forms(void **state)
{
    struct port p;
    struct why w;

    (void)state;
    assert_true(port_parse("8080:80", &p, &w));
    assert_int_equal(p.host, 8080);
    assert_int_equal(p.guest, 80);
    assert_false(p.udp);
    assert_string_equal(p.address, "127.0.0.1");
    assert_true(port_parse("0.0.0.0:53:5353/udp", &p, &w));
    assert_string_equal(p.address, "0.0.0.0");
    assert_int_equal(p.host, 53);
    assert_int_equal(p.guest, 5353);
    assert_true(p.udp);
    assert_true(port_parse("6379", &p, &w));
    assert_int_equal(p.host, 6379);
    assert_int_equal(p.guest, 6379);
    assert_true(port_parse("65535:1/tcp", &p, &w));
}

static void bad_ports_are_refused(void **state)
{
    static const char *const bad[] = {"",          "0:80",     "80:0", "65536:1", "a:b",
                                      "1:2:3:4",   "1:2/sctp", ":80",  "80:",     "-1:2",
                                      "1.2.3:1:2", "::1:1:2",  "1 :2", "1:2/",    "999999:1"};
    struct port p;
    struct why w;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(port_parse(bad[i], &p, &w));
}

static void a_listener_makes_its_port_busy(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    struct port p = {.address = "127.0.0.1", .guest = 80};
    struct why w;
    int s = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    assert_int_equal(bind(s, (struct sockaddr *)&a, len), 0);
    assert_int_equal(listen(s, 1), 0);
    assert_int_equal(getsockname(s, (struct sockaddr *)&a, &len), 0);
    p.host = ntohs(a.sin_port);
    assert_false(ports_free(&p, 1, &w));
    assert_non_null(strstr(w.text, "in use"));
    close(s);
    assert_true(ports_free(&p, 1, &w));
}

static void networks_parse_and_make_the_ip_word(void **state)
{
    struct netspec n;
    struct why w;
    char *word, mac[18];

    (void)state;
    assert_true(netspec_parse("user", &n, &w));
    word = netspec_ip_word(&n, 0);
    assert_string_equal(word, "ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off:10.0.2.3");
    free(word);
    assert_true(netspec_parse("dhcp", &n, &w));
    word = netspec_ip_word(&n, 0);
    assert_string_equal(word, "ip=dhcp");
    free(word);
    word = netspec_ip_word(&n, 2);
    assert_string_equal(word, "ip=:::::eth2:dhcp");
    free(word);
    assert_true(netspec_parse("none", &n, &w));
    assert_null(netspec_ip_word(&n, 0));
    assert_true(netspec_parse("tap:tap3,ip=192.168.7.9/20,gw=192.168.0.1", &n, &w));
    assert_string_equal(n.ifname, "tap3");
    word = netspec_ip_word(&n, 0);
    assert_string_equal(word, "ip=192.168.7.9::192.168.0.1:255.255.240.0::eth0:off");
    free(word);
    netspec_mac(&n, 0, mac);
    assert_string_equal(mac, "02:57:c0:a8:07:09");
    assert_true(netspec_parse("tap:t,ip=dhcp", &n, &w));
    assert_true(n.dhcp);
    assert_true(netspec_parse("tap:t,ip=dhcp,mrg_rxbuf=off,event_idx=on", &n, &w));
    assert_string_equal(n.device, ",mrg_rxbuf=off,event_idx=on");
    assert_int_equal(n.queues, 1);
    assert_true(netspec_parse("vhost-user:/tmp/a/net.sock,ip=10.77.0.2/24,gw=10.77.0.1,packed=on,"
                              "rx_queue_size=1024,queues=4",
                              &n, &w));
    assert_int_equal(n.kind, NET_VHOST_USER);
    assert_string_equal(n.socket, "/tmp/a/net.sock");
    assert_string_equal(n.device, ",packed=on,rx_queue_size=1024");
    assert_int_equal(n.queues, 4);
    word = netspec_ip_word(&n, 1);
    assert_string_equal(word, "ip=10.77.0.2::10.77.0.1:255.255.255.0::eth1:off");
    free(word);
    netspec_mac(&n, 0, mac);
    assert_string_equal(mac, "02:57:0a:4d:00:02");
}

static void bad_networks_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "tap",
        "tap:",
        "tap:t",
        "tap:t,ip=1.2.3.4",
        "tap:t,ip=1.2.3.4/33",
        "tap:t,ip=1.2.3.4/0",
        "tap:t,ip=x/24",
        "tap:t,ip=1.2.3.4/24,gw=x",
        "tap:t,what=1",
        "tap:a-name-that-is-too-long,ip=1.2.3.4/24",
        "tap:t,ip=dhcp,gw=1.2.3.4",
        "bridge:br0",
        "vhost-user",
        "vhost-user:",
        "vhost-user:/s",
        "vhost-user:/s,ip=1.2.3.4",
        "vhost-user:/s,ip=1.2.3.4/24,packed=yes",
        "vhost-user:/s,ip=1.2.3.4/24,packed",
        "vhost-user:/s,ip=1.2.3.4/24,rx_queue_size=300",
        "vhost-user:/s,ip=1.2.3.4/24,rx_queue_size=2048",
        "vhost-user:/s,ip=1.2.3.4/24,rx_queue_size=",
        "vhost-user:/s,ip=1.2.3.4/24,queues=9",
        "vhost-user:/s,ip=1.2.3.4/24,queues=x",
        "vhost-user:/s,ip=1.2.3.4/24,mac=1",
        "tap:t,ip=1.2.3.4/24,queues=0",
        "tap:t,ip=1.2.3.4/24,queues=9",
    };
    struct netspec n;
    struct why w;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(netspec_parse(bad[i], &n, &w));
    char path[NET_SOCKET_MAX + 32];
    memset(path, 'p', sizeof(path));
    memcpy(path, "vhost-user:", 11);
    strcpy(path + sizeof(path) - 14, ",ip=1.2.3.4/8");
    assert_false(netspec_parse(path, &n, &w));
}

static void loader_cache_finds_what_was_put_in(void **state)
{
    struct words names = {0}, paths = {0};
    struct strbuf cache = {0};

    (void)state;
    for (int i = 0; i < 50; i++) {
        words_addf(&names, "lib%c.so.%d", 'a' + i % 26, i);
        words_addf(&paths, "/opt/lib%d", i);
    }
    ldcache_build(&names, &paths, &cache);
    for (int i = 0; i < 50; i++)
        assert_string_equal(ldcache_find(cache.s, cache.len, names.v[i]), paths.v[i]);
    assert_null(ldcache_find(cache.s, cache.len, "libnone.so.1"));
    /* Cut off anywhere, it is never read beyond its end (AddressSanitizer looks on). */
    for (size_t n = 0; n < cache.len; n++) {
        char *part = xmalloc(n);
        memcpy(part, cache.s, n);
        for (int i = 0; i < 50; i += 7)
            ldcache_find(part, n, names.v[i]);
        free(part);
    }
    words_free(&names);
    words_free(&paths);
    free(cache.s);
}

static void loader_cache_is_sorted_as_the_loader_searches(void **state)
{
    static const char *const sorted[] = {"libz.so.1", "liba.so.10", "liba.so.9", "liba-x.so",
                                         "lib2.so"};
    struct words names = {0}, paths = {0};
    struct strbuf cache = {0};
    uint32_t at;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sorted); i++) {
        words_add(&names, sorted[(i * 2) % ARRAY_LEN(sorted)]);
        words_add(&paths, "/x");
    }
    ldcache_build(&names, &paths, &cache);
    /* lib2 is first: digits sort after letters, and the order is descending. */
    static const char *const expect[] = {"lib2.so", "libz.so.1", "liba.so.10", "liba.so.9",
                                         "liba-x.so"};
    for (size_t i = 0; i < ARRAY_LEN(expect); i++) {
        memcpy(&at, cache.s + 48 + 24 * i + 4, sizeof(at));
        assert_string_equal(cache.s + at, expect[i]);
    }
    words_free(&names);
    words_free(&paths);
    free(cache.s);
}

static void the_nearest_word_is_suggested(void **state)
{
    static const char *const list[] = {"memory", "machine", "net"};

    (void)state;
    assert_string_equal(nearest("memry", list, 3), "memory");
    assert_string_equal(nearest("machnie", list, 3), "machine");
    assert_null(nearest("publish", list, 3));
    assert_null(nearest("", list, 3));
}

static void shell_quoting_is_minimal_and_safe(void **state)
{
    struct strbuf b = {0};

    (void)state;
    shell_quote(&b, "a,b=c/d");
    shell_quote(&b, "");
    shell_quote(&b, "it's $x");
    assert_string_equal(b.s, "a,b=c/d'''it'\\''s $x'");
    free(b.s);
}

static void far_memory_reads_as_it_is_written(void **state)
{
    struct farspec f[2];
    struct words out = {0};
    struct why w;

    (void)state;
    assert_true(
        farspec_parse("10.0.0.9:7000,size=16G,copies=2,local=12.5%,prefetch=trend", &f[0], &w));
    assert_false(f[0].has_net);
    assert_true(farspec_parse("unix:/tmp/s,ip=10.89.0.1,prefetch=guide:./my/walk.so,verify=encrypt",
                              &f[1], &w));
    assert_true(f[1].has_net);
    assert_non_null(strstr(f[1].net.device, "mtu=9000"));
    assert_true(farspec_words(f, 2, &out, &w));
    static const char *const words[] = {
        "wherry.far.node=10.0.0.9:7000", "wherry.far.node=10.89.0.1", "wherry.far.guide=walk",
        "wherry.far.size=16G",           "wherry.far.copies=2",       "wherry.far.local=12.5%",
        "wherry.far.prefetch=trend",     "wherry.far.verify=encrypt"};
    assert_int_equal(out.n, ARRAY_LEN(words));
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        assert_string_equal(out.v[i], words[i]);
    free(f[1].guide);
    words_free(&out);
}

static void wrong_far_memory_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "node",
        "10.0.0",
        "10.0.0.9:0",
        "10.0.0.9:70000",
        "10.0.0.9,size=",
        "10.0.0.9,size=1X",
        "10.0.0.9,size=10%",
        "10.0.0.9,copies=0",
        "10.0.0.9,copies=9",
        "10.0.0.9,copies=12",
        "10.0.0.9,local=0%",
        "10.0.0.9,local=101%",
        "10.0.0.9,local=0.0%",
        "10.0.0.9,local=100.5%",
        "10.0.0.9,local=1.25%",
        "10.0.0.9,local=64.5M",
        "10.0.0.9,prefetch=best",
        "10.0.0.9,prefetch=guide:",
        "10.0.0.9,verify=maybe",
        "10.0.0.9,verify=on",
        "10.0.0.9,key=",
        "10.0.0.9,ip=10.0.0.8",
        "10.0.0.9,sise=1G",
        "unix:/tmp/s,ip=10.88.0.2",
    };
    struct farspec f;
    struct why w;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        w.text[0] = '\0';
        assert_false(farspec_parse(bad[i], &f, &w));
        assert_non_null(strstr(w.text, "--far"));
        free(f.guide);
        free(f.key_file);
    }
    assert_null(farspec_guide_name("/tmp/UPPER.so", &w));
    assert_null(farspec_guide_name("a/", &w));
    char *name = farspec_guide_name("../x/read-ahead_2.so", &w);
    assert_string_equal(name, "read-ahead_2");
    free(name);
}

static void socket_networks_read_as_they_are_written(void **state)
{
    struct netspec n;
    struct why w;

    (void)state;
    assert_true(netspec_parse("unix:/tmp/s,ip=10.1.0.2/24,mtu=4200", &n, &w));
    assert_string_equal(n.socket, "/tmp/s");
    assert_non_null(strstr(n.device, "mtu=4200"));
    assert_false(netspec_parse("unix:,ip=10.1.0.2/24", &n, &w));
    assert_false(netspec_parse("unix:/tmp/s,ip=10.1.0.2/24,mtu=10", &n, &w));
    assert_false(netspec_parse("unix:/tmp/s,ip=10.1.0.2/24,mtu=100000", &n, &w));
    assert_false(netspec_parse("unix:/tmp/s", &n, &w));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(far_memory_reads_as_it_is_written),
        cmocka_unit_test(wrong_far_memory_is_refused),
        cmocka_unit_test(socket_networks_read_as_they_are_written),
        cmocka_unit_test(words_read_back_as_they_were_given),
        cmocka_unit_test(only_words_that_need_quotes_get_them),
        cmocka_unit_test(words_that_no_quoting_carries_are_refused),
        cmocka_unit_test(environment_names_that_kernels_take_are_refused),
        cmocka_unit_test(ports_parse_in_all_forms),
        cmocka_unit_test(bad_ports_are_refused),
        cmocka_unit_test(a_listener_makes_its_port_busy),
        cmocka_unit_test(networks_parse_and_make_the_ip_word),
        cmocka_unit_test(bad_networks_are_refused),
        cmocka_unit_test(loader_cache_finds_what_was_put_in),
        cmocka_unit_test(loader_cache_is_sorted_as_the_loader_searches),
        cmocka_unit_test(the_nearest_word_is_suggested),
        cmocka_unit_test(shell_quoting_is_minimal_and_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
