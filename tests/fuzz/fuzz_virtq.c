// fuzz: kernel/drivers/virtio/virtq.c kernel/drivers/virtio/virtq_packed.c
/*
 * A hostile device: between the driver's calls any byte of the ring memory changes to anything. The
 * driver must read and write only the ring and its own slots (ASan watches both), hand back each
 * cookie at most once per time it was added, never report more bytes than were posted, and after a
 * reset give back exactly what is in flight.
 *
 * Input: a byte of mode (bit 0 packed, bit 1 event index, bits 2-4 log2 of the size, bit 5 in
 * order, bit 6 tables), then commands: 0 add, 1 kick, 2 pop, 3 enable, 4 disable, 5 poke a byte, 6
 * poke a plausible completion, 7 poke the used index.
 */
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/virtq.h"

#define MAX_SEGS 4
#define COOKIES  512
#define TABLE    3u /* segments of one */

struct input {
    const uint8_t *p;
    size_t left;
};

static uint8_t next(struct input *in)
{
    return in->left ? (in->left--, *in->p++) : 0;
}

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    bool packed = data[0] & 1;
    unsigned n = 1u << (data[0] >> 2 & 7);
    bool in_order = data[0] & 32;
    size_t bytes = virtq_ring_bytes(n, packed), table_bytes = MIN(TABLE, n) * n * 16;
    char *ring = aligned_alloc(16, (bytes + 15) & ~15ul);
    struct virtq_slot *slots = malloc(n * sizeof(*slots));
    char *tables = data[0] & 64 ? malloc(table_bytes) : NULL;
    uint32_t doorbell = 0, posted[COOKIES] = {0}, len;
    bool live[COOKIES] = {false};
    unsigned in_flight = 0, used_off = 16 * n + ((6 + 2 * n + 3) & ~3u);
    uint16_t idx = 0;
    struct input in = {data + 1, size - 1};
    struct virtq vq;

    memset(&vq, 0, sizeof(vq));
    memset(ring, 0, bytes);
    vq.notify = &doorbell;
    virtq_init(&vq, n, packed, data[0] & 2, ring, slots);
    if (tables)
        virtq_set_tables(&vq, tables, 0x100000, TABLE);
    if (in_order)
        virtq_set_in_order(&vq);

    while (in.left) {
        uint8_t c = next(&in);
        switch (c & 7) {
        case 0: {
            struct virtq_seg seg[MAX_SEGS];
            unsigned k = 1 + (c >> 3) % MAX_SEGS;
            bool fits = virtq_fits(&vq, k);
            uintptr_t cookie = 1;
            uint32_t w = 0;
            while (cookie < COOKIES && live[cookie])
                cookie++;
            for (unsigned i = 0; i < k; i++) {
                uint8_t b = next(&in);
                seg[i] = (struct virtq_seg){b, b, b & 1 ? VIRTQ_WRITE : 0};
                w += b & 1 ? b : 0;
            }
            int r = virtq_add(&vq, seg, k, (void *)cookie);
            check(r == (fits ? 0 : vq.broken ? -EIO : -ENOSPC));
            if (r == 0) {
                live[cookie] = true;
                posted[cookie] = w;
                in_flight++;
            }
            break;
        }
        case 1:
            virtq_kick(&vq);
            break;
        case 2: {
            uint32_t id;
            if (c & 0x80) { /* a run, as far as its completions name their places */
                uint32_t pos, k, got = virtq_run_begin(&vq, 1 + (c >> 3 & 15), &pos);
                check(pos + got <= n && (got == 0 || (!packed && !vq.broken)));
                for (k = 0; k < got; k++, pos++) {
                    const char *e = ring + used_off + 4 + 8 * pos;
                    uintptr_t done = (uintptr_t)slots[pos].cookie, fresh = 1;
                    memcpy(&id, e, 4);
                    if (id != pos)
                        break;
                    /* In flight, and alone: or its place would not be its own. */
                    check(done < COOKIES && live[done] && slots[pos].limit &&
                          slots[pos].ndesc == 1);
                    live[done] = false;
                    while (fresh < COOKIES && live[fresh])
                        fresh++;
                    slots[pos].cookie = (void *)fresh;
                    live[fresh] = true;
                    posted[fresh] = posted[done];
                }
                virtq_run_end(&vq, k);
                break;
            }
            uintptr_t cookie = (uintptr_t)virtq_peek(&vq, &id, &len);
            if (cookie) {
                check(cookie < COOKIES && live[cookie] && len <= posted[cookie]);
                live[cookie] = false;
                in_flight--;
            }
            if (cookie && c & 0x40 && (!in_order || vq.nfree == 0)) {
                /* its place goes to another, which may be as long */
                uint32_t w = c & 0x20 ? c : 0;
                cookie = 1;
                while (cookie < COOKIES && live[cookie])
                    cookie++;
                int r = virtq_exchange(&vq, id, c, c, w ? VIRTQ_WRITE : VIRTQ_READ, (void *)cookie);
                check(r == 0 || (r == -EIO && vq.broken));
                if (r == 0) {
                    live[cookie] = true;
                    posted[cookie] = w;
                    in_flight++;
                }
            } else if (cookie) {
                virtq_release(&vq, id);
            }
            break;
        }
        case 3:
            (void)virtq_enable_irq(&vq);
            break;
        case 4:
            virtq_disable_irq(&vq);
            break;
        case 5: {
            unsigned off = next(&in);
            off |= (unsigned)next(&in) << 8;
            ring[off % bytes] = (char)next(&in);
            if (tables)
                tables[off % table_bytes] = ring[off % bytes];
            break;
        }
        case 6: {
            uint32_t id = next(&in), l = next(&in);
            if (packed) {
                struct vring_packed_desc *d = (struct vring_packed_desc *)ring + next(&in) % n;
                d->id = (uint16_t)id;
                d->len = l;
                d->flags = c & 0x80 ? 0x8080 : 0;
            } else {
                char *e = ring + used_off + 4 + 8 * (idx++ % n);
                memcpy(e, &id, 4);
                memcpy(e + 4, &l, 4);
                memcpy(ring + used_off + 2, &idx, 2);
            }
            break;
        }
        case 7:
            if (!packed) {
                idx = (uint16_t)(idx + next(&in));
                memcpy(ring + used_off + 2, &idx, 2);
            }
            break;
        }
        check(virtq_nfree(&vq) <= n);
    }
    for (uintptr_t cookie; (cookie = (uintptr_t)virtq_detach(&vq)); in_flight--) {
        check(cookie < COOKIES && live[cookie]);
        live[cookie] = false;
    }
    check(in_flight == 0);
    free(ring);
    free(tables);
    free(slots);
    return 0;
}
