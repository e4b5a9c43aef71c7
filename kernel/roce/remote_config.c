/*
 * Far memory on memory nodes, from the command line: wherry.far.node=ADDRESS[:PORT] for each node,
 * wherry.far.copies=N (nodes that a page lies on; not given: all), wherry.far.size=SIZE of each
 * node, wherry.far.key=HEX. At boot all nodes must answer. What was said of nodes holds for those
 * that are added later.
 */
#include "lib/cmdline.h"
#include "lib/init.h"
#include "mm/slab.h"
#include "roce/icrc.h"
#include "roce/remote.h"
#include "sched/clock.h"
#include "sched/thread.h"

#include <asm/errno.h>

#define OPEN_LIMIT_NS (20ull * NSEC_PER_SEC)

static struct {
    uint32_t ip; /* host order */
    uint16_t port;
} given[MIRRORS_MAX];
static unsigned nr_given;
static uint64_t size;
static uint8_t secret[SESSION_SECRET_MAX];
static size_t secret_len;

int remote_parse(const char *text, uint32_t *ip, uint16_t *port)
{
    uint64_t n;

    *ip = 0;
    for (unsigned i = 0; i < 4; i++) {
        text = parse_u64(text, &n);
        if (text == NULL || n > 255 || (i < 3 && *text++ != '.'))
            return -EINVAL;
        *ip = *ip << 8 | (uint32_t)n;
    }
    n = NODE_PORT;
    if (*text == ':')
        text = parse_u64(text + 1, &n);
    if (text == NULL || *text != '\0' || n < 1 || n > UINT16_MAX || *ip == 0)
        return -EINVAL;
    *port = (uint16_t)n;
    return 0;
}

static int node_option(const char *value)
{
    uint32_t ip;
    uint16_t port;

    if (value == NULL || nr_given == MIRRORS_MAX || remote_parse(value, &ip, &port) < 0)
        return -EINVAL;
    for (unsigned i = 0; i < nr_given; i++)
        if (given[i].ip == ip)
            return -EINVAL;
    given[nr_given].ip = ip;
    given[nr_given++].port = port;
    return 0;
}
CMDLINE("wherry.far.node", node_option);

static int size_option(const char *value)
{
    const char *end = value ? parse_size(value, &size) : NULL;

    return end && *end == '\0' && size >= PAGE_SIZE && size / PAGE_SIZE <= FAR_SLOTS_MAX ? 0
                                                                                         : -EINVAL;
}
CMDLINE("wherry.far.size", size_option);

static int copies_option(const char *value)
{
    uint64_t n;

    value = value ? parse_u64(value, &n) : NULL;
    if (value == NULL || *value != '\0' || n < 1 || n > MIRRORS_MAX)
        return -EINVAL;
    remote_copies = (unsigned)n;
    return 0;
}
CMDLINE("wherry.far.copies", copies_option);

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int key_option(const char *value)
{
    for (secret_len = 0; value && *value; value += 2) {
        if (hex(value[0]) < 0 || hex(value[1]) < 0 || secret_len == sizeof(secret))
            return -EINVAL;
        secret[secret_len++] = (uint8_t)(hex(value[0]) << 4 | hex(value[1]));
    }
    return secret_len > 0 ? 0 : -EINVAL;
}
CMDLINE("wherry.far.key", key_option);

const char *remote_why(int error)
{
    switch (error) {
    case -EACCES:
        return "it does not accept the key";
    case -ENOSPC:
        return "it has not so much memory for us";
    case -EBUSY:
        return "it has no room for another client";
    case -EPROTONOSUPPORT:
        return "it speaks another version of the protocol";
    case 0:
    case -ETIMEDOUT:
        return "there is no answer";
    default:
        return "its answers make no sense";
    }
}

struct mirror *remote_open(uint32_t ip, uint16_t port)
{
    struct mirror *m = vmalloc(sizeof(*m));

    if (m == NULL)
        return NULL;
    memset(m, 0, sizeof(*m));
    m->node.ip = ip;
    m->node.control_port = port;
    m->node.several = nr_given > 1 && remote_copies != 1;
    m->node.session.want = (uint64_t)remote_room * PAGE_SIZE;
    m->node.session.secret_len = secret_len;
    memcpy(m->node.session.secret, secret, secret_len);
    strlcpy(m->node.session.name, "wherry", sizeof(m->node.session.name));
    if (remote_map(m) < 0 || node_open(&m->node) < 0) {
        remote_unmap(m);
        vfree(m);
        return NULL;
    }
    return m;
}

void remote_close(struct mirror *m)
{
    node_free(&m->node);
    remote_unmap(m);
    vfree(m);
}

/* Waits until a node is there; the scheduler does not run yet: this loop is all there is. */
static int await(struct node *n)
{
    uint64_t now = clock_mono_ns(), end = now + OPEN_LIMIT_NS;

    while (n->state == NODE_IS_OPENING && now < end && n->losses == 0) {
        pollers_run();
        node_poll(n, now);
        now = clock_mono_ns();
    }
    if (n->state == NODE_IS_UP)
        return 0;
    kprintf("wherry: memory node %u.%u.%u.%u:%u cannot be used: %s\n", n->ip >> 24,
            n->ip >> 16 & 255, n->ip >> 8 & 255, n->ip & 255, n->control_port,
            remote_why(n->session.error));
    return -EIO;
}

static int start(void)
{
    int r = 0;

    if (nr_given == 0)
        return 0;
    if (size == 0) {
        kprintf("wherry: wherry.far.node= needs wherry.far.size=\n");
        return -EINVAL;
    }
    roce_crc_init();
    roce_crc_choose(clock_mono_ns);
    remote_room = (uint32_t)(ALIGN_UP(size, PAGE_SIZE) / PAGE_SIZE);
    for (unsigned i = 0; r == 0 && i < nr_given; i++) {
        struct mirror *m = remote_open(given[i].ip, given[i].port);

        if (m == NULL)
            return -ENOMEM;
        remote_mirrors[remote_nr++] = m;
        r = await(&m->node);
    }
    return r < 0 ? r : remote_start();
}
INIT(INIT_REMOTE, start);
