/*
 * The list of network devices: see netdev.h.
 */
#include "net/netdev.h"

struct list netdev_list = LIST_INIT(netdev_list);
static unsigned count;
const bool netdev_stream __attribute__((weak)) = false;

void netdev_register(struct netdev *d)
{
    ksnprintf(d->name, sizeof(d->name), "eth%u", count++);
    list_push_back(&netdev_list, &d->link);
}

struct netdev *netdev_find(const char *name)
{
    list_for_each (d, &netdev_list, struct netdev, link) {
        if (name == NULL || strcmp(d->name, name) == 0)
            return d;
    }
    return NULL;
}
