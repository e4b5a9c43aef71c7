/*
 * Starts scripts/native-cc, which is `wherry cc`, in place of this process, with what make wrote
 * for it beside this program's build ($NATIVE_CONFIG).
 */
#include "cc.h"

#include "util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cc_main(int argc, char **argv)
{
    char *self = own_path();
    char *config = xasprintf("%.*s/../native/config", (int)(strrchr(self, '/') - self), self);
    struct words w = {0};

    if (access(config, R_OK) != 0)
        die("there is no %s: make apps writes it, in the tree that the kernel was built in",
            config);
    if (setenv("NATIVE_CONFIG", config, 1) != 0)
        die("%s", strerror(errno));
    words_add(&w, "sh");
    words_add(&w, NATIVE_CC);
    for (int i = 0; i < argc; i++)
        words_add(&w, argv[i]);
    execvp(w.v[0], w.v);
    die("%s: %s", NATIVE_CC, strerror(errno));
}
