// fuzz: kernel/lib/cmdline.c
/*
 * Any text as the kernel's command line: parsed in place, in memory of exactly its length; what it
 * leaves for the program are ended texts inside of it.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/cmdline.h"

#include <asm/errno.h>

static const char *line, *line_end;

static void inside(const char *s)
{
    if (s < line || s >= line_end || strlen(s) > (size_t)(line_end - s))
        abort();
}

static int take(const char *value)
{
    if (value)
        inside(value);
    return value && value[0] == '!' ? -EINVAL : 0;
}

extern const struct cmdline_entry __cmdline_start[];
const struct cmdline_entry __cmdline_start[] = {
    {"wherry.one", take}, {"ip", take}, {"init", take}, {"virtio_mmio.device", take}};
_Static_assert(sizeof(__cmdline_start) == 64, "the number below");
__asm__(".globl __cmdline_end\n.set __cmdline_end, __cmdline_start + 64");

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1);
    const char *bad = NULL;
    int r;

    memcpy(copy, data, size);
    copy[size] = '\0';
    line = copy;
    line_end = copy + size + 1;
    memset(&cmdline_init, 0, sizeof(cmdline_init));
    r = cmdline_parse(copy, &bad);
    if (r < 0)
        inside(bad);
    if (cmdline_init.nr_args > CMDLINE_MAX_INIT || cmdline_init.nr_env > CMDLINE_MAX_INIT)
        abort();
    for (unsigned i = 0; i < cmdline_init.nr_args; i++)
        inside(cmdline_init.args[i]);
    for (unsigned i = 0; i < cmdline_init.nr_env; i++) {
        inside(cmdline_init.env[i]);
        if (!strchr(cmdline_init.env[i], '='))
            abort();
    }
    free(copy);
    return 0;
}
