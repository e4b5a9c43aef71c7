/*
 * What was negotiated with a device, as one line of text: the names of feature bits, rings, and how
 * the device is told of work. Called by the core when a device goes live. Pure.
 */
#include "drivers/virtio/virtio.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_console.h>
#include <linux/virtio_net.h>

struct feature_name {
    uint8_t bit;
    char name[15];
};

/* §6: the same for every device. */
static const struct feature_name common[] = {
    {VIRTIO_F_NOTIFY_ON_EMPTY, "notify_on_empty"},
    {VIRTIO_F_ANY_LAYOUT, "any_layout"},
    {VIRTIO_RING_F_INDIRECT_DESC, "indirect_desc"},
    {VIRTIO_RING_F_EVENT_IDX, "event_idx"},
    {VIRTIO_F_VERSION_1, "version_1"},
    {VIRTIO_F_ACCESS_PLATFORM, "access_platform"},
    {VIRTIO_F_RING_PACKED, "packed"},
    {VIRTIO_F_IN_ORDER, "in_order"},
    {VIRTIO_F_ORDER_PLATFORM, "order_platform"},
    {VIRTIO_F_SR_IOV, "sr_iov"},
    {38, "notif_data"}, /* VIRTIO_F_NOTIFICATION_DATA, which the headers lack */
    {VIRTIO_F_RING_RESET, "ring_reset"},
};

/* §5.1.3 */
static const struct feature_name net[] = {
    {VIRTIO_NET_F_CSUM, "csum"},
    {VIRTIO_NET_F_GUEST_CSUM, "guest_csum"},
    {VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, "ctrl_offloads"},
    {VIRTIO_NET_F_MTU, "mtu"},
    {VIRTIO_NET_F_MAC, "mac"},
    {VIRTIO_NET_F_GSO, "gso"},
    {VIRTIO_NET_F_GUEST_TSO4, "guest_tso4"},
    {VIRTIO_NET_F_GUEST_TSO6, "guest_tso6"},
    {VIRTIO_NET_F_GUEST_ECN, "guest_ecn"},
    {VIRTIO_NET_F_GUEST_UFO, "guest_ufo"},
    {VIRTIO_NET_F_HOST_TSO4, "tso4"},
    {VIRTIO_NET_F_HOST_TSO6, "tso6"},
    {VIRTIO_NET_F_HOST_ECN, "ecn"},
    {VIRTIO_NET_F_HOST_UFO, "ufo"},
    {VIRTIO_NET_F_MRG_RXBUF, "mrg_rxbuf"},
    {VIRTIO_NET_F_STATUS, "status"},
    {VIRTIO_NET_F_CTRL_VQ, "ctrl_vq"},
    {VIRTIO_NET_F_CTRL_RX, "ctrl_rx"},
    {VIRTIO_NET_F_CTRL_VLAN, "ctrl_vlan"},
    {VIRTIO_NET_F_CTRL_RX_EXTRA, "ctrl_rx_extra"},
    {VIRTIO_NET_F_GUEST_ANNOUNCE, "guest_announce"},
    {VIRTIO_NET_F_MQ, "mq"},
    {VIRTIO_NET_F_CTRL_MAC_ADDR, "ctrl_mac_addr"},
    {VIRTIO_NET_F_HASH_REPORT, "hash_report"},
    {VIRTIO_NET_F_RSS, "rss"},
    {VIRTIO_NET_F_RSC_EXT, "rsc_ext"},
    {VIRTIO_NET_F_STANDBY, "standby"},
    {VIRTIO_NET_F_SPEED_DUPLEX, "speed_duplex"},
};

/* §5.2.3 */
static const struct feature_name blk[] = {
    {VIRTIO_BLK_F_SIZE_MAX, "size_max"},
    {VIRTIO_BLK_F_SEG_MAX, "seg_max"},
    {VIRTIO_BLK_F_GEOMETRY, "geometry"},
    {VIRTIO_BLK_F_RO, "ro"},
    {VIRTIO_BLK_F_BLK_SIZE, "blk_size"},
    {VIRTIO_BLK_F_FLUSH, "flush"},
    {VIRTIO_BLK_F_TOPOLOGY, "topology"},
    {VIRTIO_BLK_F_CONFIG_WCE, "config_wce"},
    {VIRTIO_BLK_F_MQ, "mq"},
    {VIRTIO_BLK_F_DISCARD, "discard"},
    {VIRTIO_BLK_F_WRITE_ZEROES, "write_zeroes"},
};

/* §5.3.3 */
static const struct feature_name port[] = {
    {VIRTIO_CONSOLE_F_SIZE, "size"},
    {VIRTIO_CONSOLE_F_MULTIPORT, "multiport"},
    {VIRTIO_CONSOLE_F_EMERG_WRITE, "emerg_write"},
};

static const struct kind {
    uint32_t id;
    const char *name;
    const struct feature_name *features;
    unsigned n;
} kinds[] = {
    {VIRTIO_ID_NET, "net", net, ARRAY_SIZE(net)},
    {VIRTIO_ID_BLOCK, "blk", blk, ARRAY_SIZE(blk)},
    {VIRTIO_ID_CONSOLE, "console", port, ARRAY_SIZE(port)},
    {VIRTIO_ID_RNG, "rng", NULL, 0},
};

struct line {
    char *to;
    size_t size, len; /* len as if size had no end */
};

static void put(struct line *l, const char *format, ...) __printf(2, 3);
static void put(struct line *l, const char *format, ...)
{
    size_t at = MIN(l->len, l->size);
    va_list ap;

    va_start(ap, format);
    l->len += (size_t)kvsnprintf(l->to + at, l->size - at, format, ap);
    va_end(ap);
}

static const struct feature_name *find(const struct feature_name *f, unsigned n, unsigned bit)
{
    for (; n > 0; n--, f++)
        if (f->bit == bit)
            return f;
    return NULL;
}

/* In the order of the bits, whether the device's kind gives them their meaning or all do. */
static void put_features(struct line *l, const struct kind *k, uint64_t bits)
{
    if (bits == 0)
        put(l, " nothing");
    for (unsigned bit = 0; bit < 64; bit++) {
        const struct feature_name *f;

        if (!(bits & VIRTIO_BIT(bit)))
            continue;
        f = k ? find(k->features, k->n, bit) : NULL;
        if (!f)
            f = find(common, ARRAY_SIZE(common), bit);
        if (f)
            put(l, " %.*s", (int)sizeof(f->name), f->name);
        else
            put(l, " bit%u", bit);
    }
}

size_t virtio_describe(const struct virtio_device *dev, char *to, size_t size)
{
    struct line l = {to, size, 0};
    const struct kind *k = kinds;
    const struct virtq *first = NULL;

    while (k < kinds + ARRAY_SIZE(kinds) && k->id != dev->id)
        k++;
    if (k == kinds + ARRAY_SIZE(kinds))
        k = NULL;
    put(&l, "%s: ", dev->name);
    if (k)
        put(&l, "%s", k->name);
    else
        put(&l, "type %u", dev->id);
    put(&l, " at %s; %s rings", dev->where,
        virtio_has(dev, VIRTIO_F_RING_PACKED) ? "packed" : "split");
    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) {
        const struct virtq *vq = dev->queues[i];

        if (!vq)
            continue;
        put(&l, " %u:%u", i, vq->size);
        first = first ? first : vq;
    }
    put(&l, "; notified by %u bytes; uses", first && first->notify16 ? 2 : 4);
    put_features(&l, k, dev->features);
    put(&l, "; leaves");
    put_features(&l, k, dev->offered & ~dev->features);
    return l.len;
}
