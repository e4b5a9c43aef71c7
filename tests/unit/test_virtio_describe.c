// unit: kernel/drivers/virtio/describe.c kernel/lib/printf.c
/*
 * Proves that the line about a device names what was negotiated and what was not, also bits and
 * types that have no name here, and that it never writes beyond the room it is given.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/virtio.h"

#include <linux/virtio_net.h>

static struct virtq rx = {.size = 256, .notify16 = true}, tx = {.size = 64, .notify16 = true};

static struct virtio_device card(void)
{
    struct virtio_device d = {
        .id = VIRTIO_ID_NET,
        .name = "virtio3",
        .where = "pci 00:02.0",
        .features = VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_NET_F_CSUM),
        .queues = {&rx, NULL, &tx},
    };

    d.offered = d.features | VIRTIO_BIT(VIRTIO_F_IN_ORDER) | VIRTIO_BIT(VIRTIO_F_NOTIFY_ON_EMPTY) |
                VIRTIO_BIT(VIRTIO_NET_F_MQ) | VIRTIO_BIT(41) | VIRTIO_BIT(63);
    return d;
}

static void says(const struct virtio_device *d, const char *wanted)
{
    char text[800];

    assert_int_equal(virtio_describe(d, text, sizeof(text)), strlen(wanted));
    assert_string_equal(text, wanted);
}

static void a_network_card(void **state)
{
    struct virtio_device d = card();

    says(&d, "virtio3: net at pci 00:02.0; split rings 0:256 2:64; notified by 2 bytes; uses csum "
             "version_1; leaves mq notify_on_empty in_order bit41 speed_duplex");
    d.features |= VIRTIO_BIT(VIRTIO_F_RING_PACKED);
    d.offered = d.features;
    rx.notify16 = false;
    says(&d, "virtio3: net at pci 00:02.0; packed rings 0:256 2:64; notified by 4 bytes; uses csum "
             "version_1 packed; leaves nothing");
    rx.notify16 = true;
}

static void other_devices(void **state)
{
    struct virtio_device d = {
        .id = VIRTIO_ID_RNG, .name = "virtio0", .where = "mmio@0xfeb00c00", .offered = 1};

    says(&d, "virtio0: rng at mmio@0xfeb00c00; split rings; notified by 4 bytes; uses nothing; "
             "leaves bit0");
    d.id = 77;
    says(&d, "virtio0: type 77 at mmio@0xfeb00c00; split rings; notified by 4 bytes; uses nothing; "
             "leaves bit0");
}

static void room(void **state)
{
    struct virtq large = {.size = VIRTQ_MAX_SIZE};

    struct virtio_device d = card();
    char whole[1024], text[1024];
    size_t len;

    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++)
        d.queues[i] = &large;
    memset(d.where, 'w', sizeof(d.where) - 1);
    d.offered = UINT64_MAX;
    len = virtio_describe(&d, whole, sizeof(whole));
    assert_true(len < sizeof(whole)); /* as much as there can be, in the core's buffer */
    for (size_t size = 1; size < sizeof(text); size++) {
        memset(text, '#', sizeof(text));
        assert_int_equal(virtio_describe(&d, text, size), len);
        assert_int_equal(strlen(text), MIN(len, size - 1));
        assert_memory_equal(text, whole, MIN(len, size - 1));
        for (size_t i = size; i < sizeof(text); i++)
            assert_int_equal(text[i], '#');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_card),
        cmocka_unit_test(other_devices),
        cmocka_unit_test(room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
