/*
 * `wherry`: the host tool. One subcommand, one file.
 */
#include "bench.h"
#include "cc.h"
#include "doctor.h"
#include "load/load.h"
#include "memnode/memnode.h"
#include "pktgen.h"
#include "run.h"
#include "top.h"
#include "util.h"

#include <stdio.h>
#include <string.h>

static const struct command {
    const char *name;
    int (*main)(int argc, char **argv); /* gets the words behind its name */
    const char *help;
} commands[] = {
    {"run", run_main, "boot a program, or a root file system, as a virtual machine"},
    {"load", load_main, "offer load to a server, verify and measure its answers"},
    {"pktgen", pktgen_main, "the same over vhost-user, by a generator that polls (needs DPDK)"},
    {"memnode", memnode_main, "lend memory to far-memory guests over RoCEv2"},
    {"bench", bench_main, "measure systems under one load, as a specification says"},
    {"report", report_main, "derive a sweep's numbers and plots from its raw records"},
    {"top", top_main, "what a guest counts, as it runs"},
    {"cc", cc_main, "link a C program into a kernel image of its own"},
    {"doctor", doctor_main, "what this host can do, and what is missing"},
};

static void usage(FILE *f)
{
    fprintf(f, "Usage: wherry COMMAND [options]\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(f, "  %-8s %s\n", commands[i].name, commands[i].help);
    fprintf(f, "\nwherry COMMAND -h lists a command's options.\n");
}

int main(int argc, char **argv)
{
    const char *names[ARRAY_LEN(commands)], *near;

    if (argc < 2 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "help") == 0) {
        usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_TOOL : 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        names[i] = commands[i].name;
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].main(argc - 2, argv + 2);
    }
    near = nearest(argv[1], names, ARRAY_LEN(commands));
    if (near)
        die("unknown command %s; did you mean %s?", argv[1], near);
    die("unknown command %s (wherry -h lists them)", argv[1]);
}
