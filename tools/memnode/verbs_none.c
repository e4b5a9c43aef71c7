/* In the place of verbs.c where there is no libibverbs (memnode.mk). See device.h. */
#include "device.h"

struct transport *transport_verbs(const char *name, uint8_t port, uint32_t listen,
                                  struct device **device)
{
    (void)port, (void)listen, (void)device;
    die("--verbs %s: this was built without libibverbs: scripts/deps rdma, then make", name);
}
