/*
 * An RDMA device of this host (RoCEv2, over IPv4), by libibverbs: a NIC, or Linux's rdma_rxe. See
 * device.h; called by node.c, control.c and memory.c.
 *
 * Each owner has a protection domain of its own, with its queue pairs and its extents as memory
 * regions, so that a key opens nothing to others. A region's addresses are those that clients know
 * (memory_va()), and nothing of this process. A queue pair only answers: it goes from INIT over RTR
 * to RTS (IBTA vol. 1 §10.3.1) with what CONNECT says, and after that nobody here hears of it
 * unless it fails. All share one completion queue, in which nothing ever arrives.
 */
#define _GNU_SOURCE
#include "device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <infiniband/verbs.h>

/* Of requests that the queue pair never makes: any values will do (§11.2.5.2). */
enum { LOCAL_ACK_TIMEOUT = 14, RETRIES = 7, RNR_TIMER = 12 };

struct domain {
    struct domain *next;
    struct ibv_pd *pd;
    uint32_t owner;
    unsigned users; /* queue pairs and extents */
};

struct verbs_qp {
    struct verbs_qp *next;
    struct domain *domain;
    struct ibv_qp *qp;
};

struct verbs {
    struct transport t;
    struct device d;
    struct ibv_context *context;
    struct ibv_cq *cq;
    uint8_t port, gid_index;
    struct domain *domains;
    struct verbs_qp *qps;
};

static struct verbs *verbs_of(const struct device *d)
{
    return (struct verbs *)((char *)d - offsetof(struct verbs, d));
}

/* ---- domains ---- */

static struct domain *domain_get(struct verbs *v, uint32_t owner)
{
    struct domain *m = v->domains;

    while (m && m->owner != owner)
        m = m->next;
    if (!m) {
        struct ibv_pd *pd = ibv_alloc_pd(v->context);

        if (!pd)
            return NULL;
        m = xmalloc(sizeof(*m));
        *m = (struct domain){.next = v->domains, .pd = pd, .owner = owner};
        v->domains = m;
    }
    m->users++;
    return m;
}

static void domain_put(struct verbs *v, struct domain *m)
{
    struct domain **at = &v->domains;

    if (--m->users)
        return;
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    ibv_dealloc_pd(m->pd);
    free(m);
}

/* ---- queue pairs ---- */

/* ::ffff:a.b.c.d (annex A17.4.5). */
static void gid_of(union ibv_gid *gid, uint32_t address)
{
    *gid = (union ibv_gid){.raw = {[10] = 0xff, [11] = 0xff}};
    roce_put32(gid->raw + 12, address);
}

static int to_init(const struct verbs *v, struct ibv_qp *qp)
{
    struct ibv_qp_attr a = {.qp_state = IBV_QPS_INIT,
                            .port_num = v->port,
                            .qp_access_flags = IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE};

    return ibv_modify_qp(qp, &a,
                         IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
}

/* The host's kernel looks for the peer's MAC address meanwhile: it waits, if it has to ask. */
static int to_rtr(const struct verbs *v, struct ibv_qp *qp, const struct responder_spec *spec)
{
    struct ibv_qp_attr a = {
        .qp_state = IBV_QPS_RTR,
        .path_mtu = roce_mtu_code(spec->mtu),
        .dest_qp_num = spec->peer_qpn,
        .rq_psn = spec->psn,
        .max_dest_rd_atomic = (uint8_t)spec->rd_atomic,
        .min_rnr_timer = RNR_TIMER,
        .ah_attr = {.is_global = 1,
                    .port_num = v->port,
                    .grh = {.sgid_index = v->gid_index, .hop_limit = RESPONDER_TTL}}};

    gid_of(&a.ah_attr.grh.dgid, spec->peer);
    return ibv_modify_qp(qp, &a,
                         IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
                             IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
}

static int to_rts(struct ibv_qp *qp, uint32_t psn)
{
    struct ibv_qp_attr a = {.qp_state = IBV_QPS_RTS,
                            .sq_psn = psn,
                            .timeout = LOCAL_ACK_TIMEOUT,
                            .retry_cnt = RETRIES,
                            .rnr_retry = RETRIES,
                            .max_rd_atomic = 1};

    return ibv_modify_qp(qp, &a,
                         IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
                             IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC);
}

static enum node_status verbs_connect(struct device *d, const struct responder_spec *spec,
                                      uint32_t psn, uint32_t *qpn)
{
    struct verbs *v = verbs_of(d);
    struct domain *m = domain_get(v, spec->owner);
    struct ibv_qp_init_attr init = {
        .send_cq = v->cq,
        .recv_cq = v->cq,
        .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1}};
    struct ibv_qp *qp = m ? ibv_create_qp(m->pd, &init) : NULL;
    struct verbs_qp *q;
    int error = 0;

    if (qp) {
        error = to_init(v, qp);
        if (!error)
            error = to_rtr(v, qp, spec);
        if (!error)
            error = to_rts(qp, psn);
        if (error)
            ibv_destroy_qp(qp);
    }
    if (!qp || error) {
        if (m)
            domain_put(v, m);
        d->counts.refused++;
        return qp ? NODE_E_MALFORMED : NODE_E_LIMIT; /* no way to that address, mostly */
    }
    q = xmalloc(sizeof(*q));
    *q = (struct verbs_qp){.next = v->qps, .domain = m, .qp = qp};
    v->qps = q;
    d->nr_qps++;
    d->counts.queue_pairs++;
    *qpn = qp->qp_num;
    return NODE_OK;
}

/* The queue pairs of an owner; qpn: one of them, or 0, which is never an RC queue pair's number. */
static bool remove_qps(struct verbs *v, uint32_t owner, uint32_t qpn)
{
    bool any = false;

    for (struct verbs_qp **at = &v->qps; *at;) {
        struct verbs_qp *q = *at;

        if (q->domain->owner != owner || (qpn && q->qp->qp_num != qpn)) {
            at = &q->next;
            continue;
        }
        *at = q->next;
        ibv_destroy_qp(q->qp);
        domain_put(v, q->domain);
        free(q);
        v->d.nr_qps--;
        any = true;
    }
    return any;
}

static bool verbs_disconnect(struct device *d, uint32_t owner, uint32_t qpn)
{
    return qpn && remove_qps(verbs_of(d), owner, qpn);
}

static void verbs_disconnect_all(struct device *d, uint32_t owner)
{
    remove_qps(verbs_of(d), owner, 0);
}

static unsigned verbs_count(const struct device *d, uint32_t owner)
{
    unsigned n = 0;

    for (const struct verbs_qp *q = verbs_of(d)->qps; q; q = q->next)
        n += q->domain->owner == owner;
    return n;
}

/* ---- extents ---- */

static bool verbs_open(struct device *d, struct extent *e, void *at)
{
    struct verbs *v = verbs_of(d);
    struct domain *m = domain_get(v, e->owner);
    int access = (e->access & NODE_READ ? IBV_ACCESS_REMOTE_READ : 0) |
                 (e->access & NODE_WRITE ? IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_LOCAL_WRITE : 0);
    struct ibv_mr *mr =
        m ? ibv_reg_mr_iova(m->pd, at, e->length, memory_va(e), (unsigned)access) : NULL;

    if (!mr) {
        warn("%s: %llu bytes cannot be registered: %s (ulimit -l?)", d->name,
             (unsigned long long)e->length, strerror(errno));
        if (m)
            domain_put(v, m);
        d->counts.refused++;
        return false;
    }
    e->handle = mr;
    e->key = mr->rkey;
    d->counts.extents++;
    return true;
}

static void verbs_close(struct device *d, struct extent *e)
{
    struct verbs *v = verbs_of(d);
    struct domain *m = v->domains;
    struct ibv_mr *mr = e->handle;

    while (m->pd != mr->pd)
        m = m->next;
    /* It will be somebody else's: better no node than one whose memory the device still writes. */
    if (ibv_dereg_mr(mr) != 0)
        die("%s: memory cannot be taken back from it: %s", d->name, strerror(errno));
    domain_put(v, m);
}

static const struct device_ops verbs_device_ops = {
    .connect = verbs_connect,
    .disconnect = verbs_disconnect,
    .disconnect_all = verbs_disconnect_all,
    .count = verbs_count,
    .open = verbs_open,
    .close = verbs_close,
};

/* ---- the transport that carries nothing ---- */

/* What the device has to say. A client learns by itself that its queue pair has failed. */
static unsigned verbs_receive(struct transport *t, struct packet *burst)
{
    struct verbs *v = (struct verbs *)t;
    struct ibv_async_event e;

    (void)burst;
    while (ibv_get_async_event(v->context, &e) == 0) {
        switch (e.event_type) {
        case IBV_EVENT_QP_FATAL:
        case IBV_EVENT_QP_REQ_ERR:
        case IBV_EVENT_QP_ACCESS_ERR:
            v->d.counts.failed++;
            break;
        case IBV_EVENT_DEVICE_FATAL:
        case IBV_EVENT_PORT_ERR:
            warn("%s: %s", v->d.name, ibv_event_type_str(e.event_type));
            break;
        default:
            break;
        }
        v->d.counts.events++;
        ibv_ack_async_event(&e);
    }
    return 0;
}

static uint8_t *verbs_room(struct transport *t, unsigned link)
{
    (void)t, (void)link;
    return NULL;
}

static void verbs_send(struct transport *t, unsigned link, size_t len)
{
    (void)t, (void)link, (void)len;
}

static void verbs_flush(struct transport *t)
{
    (void)t;
}

/* The link's: whether the way to an address is narrower, the device does not know. */
static unsigned verbs_path_mtu(struct transport *t, uint32_t address)
{
    struct verbs *v = (struct verbs *)t;
    struct ibv_port_attr a;

    (void)address;
    if (ibv_query_port(v->context, v->port, &a) != 0)
        return 0;
    return (128u << a.active_mtu) + TRANSPORT_HEADERS; /* IBV_MTU_256 is 1 */
}

static void verbs_shut(struct transport *t)
{
    struct verbs *v = (struct verbs *)t;

    while (v->qps)
        remove_qps(v, v->qps->domain->owner, 0);
    ibv_destroy_cq(v->cq);
    ibv_close_device(v->context);
    free(v);
}

static const struct transport_ops verbs_transport_ops = {
    .name = "verbs",
    .receive = verbs_receive,
    .room = verbs_room,
    .send = verbs_send,
    .flush = verbs_flush,
    .path_mtu = verbs_path_mtu,
    .close = verbs_shut,
};

/* ---- start ---- */

static struct ibv_context *open_device(const char *name)
{
    int nr = 0;
    struct ibv_device **list = ibv_get_device_list(&nr);
    struct ibv_context *context = NULL;
    struct strbuf names = {0};
    bool found = false;

    for (int i = 0; i < nr; i++) {
        const char *other = ibv_get_device_name(list[i]);

        sb_addf(&names, "%s%s", i ? ", " : "", other);
        if (strcmp(other, name) != 0)
            continue;
        found = true;
        context = ibv_open_device(list[i]);
    }
    if (!found)
        die("--verbs %s: there is no such RDMA device (there are: %s)", name,
            nr ? names.s : "none");
    if (!context)
        die("--verbs %s: %s", name, strerror(errno));
    free(names.s);
    ibv_free_device_list(list);
    return context;
}

static bool find_gid(struct verbs *v, unsigned nr, uint32_t listen)
{
    for (unsigned i = 0; i < nr && i <= UINT8_MAX; i++) {
        struct ibv_gid_entry g;
        union ibv_gid mapped;
        uint32_t address;

        if (ibv_query_gid_ex(v->context, v->port, i, &g, 0) != 0 ||
            g.gid_type != IBV_GID_TYPE_ROCE_V2)
            continue;
        address = roce_get32(g.gid.raw + 12);
        gid_of(&mapped, address);
        if (memcmp(&mapped, &g.gid, sizeof(mapped)) != 0 ||
            (listen != INADDR_ANY && listen != address))
            continue;
        v->gid_index = (uint8_t)i;
        v->t.address = address;
        return true;
    }
    return false;
}

struct transport *transport_verbs(const char *name, uint8_t port, uint32_t listen,
                                  struct device **device)
{
    struct verbs *v = xcalloc(1, sizeof(*v));
    struct ibv_device_attr device_attr;
    struct ibv_port_attr port_attr;

    v->context = open_device(name);
    v->port = port;
    if (ibv_query_device(v->context, &device_attr) != 0 || port > device_attr.phys_port_cnt ||
        ibv_query_port(v->context, port, &port_attr) != 0)
        die("--verbs %s:%u: the device has no such port", name, port);
    if (port_attr.link_layer != IBV_LINK_LAYER_ETHERNET)
        die("--verbs %s:%u: no Ethernet port: it does not speak RoCEv2", name, port);
    if (!find_gid(v, (unsigned)port_attr.gid_tbl_len, listen))
        die("--verbs %s:%u: the port has no%s IPv4 address for RoCEv2", name, port,
            listen == INADDR_ANY ? "" : " such");
    v->cq = ibv_create_cq(v->context, 1, NULL, NULL, 0);
    if (!v->cq || fcntl(v->context->async_fd, F_SETFL, O_NONBLOCK) < 0)
        die("--verbs %s: %s", name, strerror(errno));
    v->t.ops = &verbs_transport_ops;
    v->t.fd = v->context->async_fd;
    v->d.ops = &verbs_device_ops;
    v->d.name = ibv_get_device_name(v->context->device);
    v->d.rd_atomic = device_attr.max_qp_rd_atom > RESPONDER_RD_ATOMIC
                         ? RESPONDER_RD_ATOMIC
                         : (uint16_t)device_attr.max_qp_rd_atom;
    *device = &v->d;
    return &v->t;
}
