/* See pktgen.h. */
#include "pktgen.h"

#include "util.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "wherry-pktgen" /* beside this one */

int pktgen_main(int argc, char **argv)
{
    char *self = own_path();
    struct words w = {0};

    *strrchr(self, '/') = '\0';
    words_addf(&w, "%s/" PROGRAM, self);
    for (int i = 0; i < argc; i++)
        words_add(&w, argv[i]);
    execv(w.v[0], w.v);
    if (errno == ENOENT)
        die("pktgen was not built, since DPDK is missing: scripts/deps dpdk, then make");
    die("%s: %s", w.v[0], strerror(errno));
}
