/* See memnode.h. */
#include "memnode.h"

#include "ask.h"
#include "node.h"

#include <stdlib.h>

int memnode_main(int argc, char **argv)
{
    struct words all = {0}; /* options are sorted out in argv */
    struct memnode_options o;
    struct node *n;

    for (int i = 0; i < argc; i++)
        words_add(&all, argv[i]);
    if (!memnode_options_parse(&o, argc, argv))
        return 0;
    if (o.stats) {
        ask_stats(&o);
        return 0;
    }
    n = xmalloc(sizeof(*n));
    node_open(n, &o, all.n, all.v);
    node_run(n);
    node_close(n);
    free(n);
    words_free(&all);
    return 0;
}
