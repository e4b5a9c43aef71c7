/*
 * The vhost-user transport of the program `wherry`, which is not linked with DPDK: becomes
 * wherry-memnode, which is, and has vhost.c in this file's place. Called by node.c.
 */
#include "transport.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "wherry-memnode" /* beside this one */

struct transport *transport_vhost(const char *path, bool huge_pages, int argc, char **argv)
{
    char *self = own_path();
    struct words w = {0};

    (void)path, (void)huge_pages;
    *strrchr(self, '/') = '\0';
    words_addf(&w, "%s/" PROGRAM, self);
    for (int i = 0; i < argc; i++)
        words_add(&w, argv[i]);
    execv(w.v[0], w.v);
    if (errno == ENOENT)
        die("--netdev vhost-user: it was not built, since DPDK is missing: scripts/deps dpdk, "
            "then make");
    die("%s: %s", w.v[0], strerror(errno));
}
