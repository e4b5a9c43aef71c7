/*
 * The list of block devices; see blkdev.h.
 */
#include "drivers/blkdev.h"

static struct list devices = LIST_INIT(devices);

void blkdev_register(struct blkdev *b)
{
    list_push_back(&devices, &b->link);
}

struct blkdev *blkdev_find(const char *name)
{
    list_for_each (b, &devices, struct blkdev, link)
        if (strcmp(b->name, name) == 0)
            return b;
    return NULL;
}
