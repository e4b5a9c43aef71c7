/*
 * Starts tools/bench/main.py, which is `wherry bench` and `wherry report`, in place of this
 * process. It finds this program again by $WHERRY_TOOL.
 */
#include "bench.h"

#include "util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Debian's own, whatever comes first in $PATH, since that one is tested. */
#define PYTHON "/usr/bin/python3"

/* Where main.py lies: what is installed, or the source tree that this build directory is in, or the
 * one that it was built from. */
static char *find_script(const char *self)
{
    const char *share = getenv("WHERRY_SHARE");
    char *bin = xstrndup(self, strrchr(self, '/') - self);
    char *candidates[] = {
        share ? xasprintf("%s/bench/main.py", share) : NULL,
        xasprintf("%s/../share/wherry/bench/main.py", bin),
        xasprintf("%s/../../tools/bench/main.py", bin),
        xstrdup(BENCH_SOURCE "/main.py"),
    };

    for (size_t i = 0; i < ARRAY_LEN(candidates); i++)
        if (candidates[i] && access(candidates[i], R_OK) == 0)
            return candidates[i];
    die("there is no bench/main.py in %s/../share/wherry; set WHERRY_SHARE to the directory that "
        "has it",
        bin);
}

static int start(const char *command, int argc, char **argv)
{
    char *self = own_path();
    struct words w = {0};

    words_add(&w, access(PYTHON, X_OK) == 0 ? PYTHON : "python3");
    words_add(&w, "-B"); /* a source tree may not be ours to write to */
    words_add(&w, find_script(self));
    words_add(&w, command);
    for (int i = 0; i < argc; i++)
        words_add(&w, argv[i]);
    if (setenv("WHERRY_TOOL", self, 1) != 0)
        die("%s", strerror(errno));
    execvp(w.v[0], w.v);
    die("%s: %s (package python3)", w.v[0], strerror(errno));
}

int bench_main(int argc, char **argv)
{
    return start("bench", argc, argv);
}

int report_main(int argc, char **argv)
{
    return start("report", argc, argv);
}
