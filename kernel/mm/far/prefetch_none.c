/*
 * The prefetcher that asks for nothing, and how much the others may ask for at once. Called by
 * mm/far/fault.c and the other prefetchers; pure.
 */
#include "mm/far/prefetch.h"
#include "lib/cmdline.h"

#include <asm/errno.h>

static void nothing(const struct far_fault *f)
{
}

const struct far_prefetcher far_prefetch_none = {.name = "none", .fault = nothing};

unsigned far_prefetch_window = FAR_WINDOW_DEFAULT;

/* wherry.far.window=PAGES */
static int window_option(const char *value)
{
    uint64_t n;

    if (value == NULL || (value = parse_u64(value, &n)) == NULL || *value != '\0' || n < 1 ||
        n > FAR_WINDOW_MAX)
        return -EINVAL;
    far_prefetch_window = (unsigned)n;
    return 0;
}
CMDLINE("wherry.far.window", window_option);
