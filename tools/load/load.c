/* See load.h. */
#define _GNU_SOURCE
#include "load.h"

#include "result.h"
#include "run.h"
#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* As many sockets as this host allows. */
static void raise_limits(const struct load_options *o)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) < 0)
        return;
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
    if (o->connections + 64 > l.rlim_cur)
        die("--connections %u: this host allows %llu open files", o->connections,
            (unsigned long long)l.rlim_cur);
}

/* One connection before the run, so that a wrong port is an error and not a result. */
static void probe(const struct load_options *o)
{
    int err = 0, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(err);

    if (fd < 0)
        die("socket: %m");
    if (connect(fd, (const struct sockaddr *)&o->target, sizeof(o->target)) < 0) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};

        if (errno != EINPROGRESS)
            err = errno;
        else if (poll(&p, 1, o->timeout_ms) == 0)
            err = ETIMEDOUT;
        else
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
    }
    close(fd);
    if (err)
        die("cannot connect to %s: %s", o->target_text, strerror(err));
}

int load_main(int argc, char **argv)
{
    struct load_options o;
    struct workload_shared *w;
    struct result result;
    struct tally tally;
    struct run run;

    if (argc > 0 && strcmp(argv[0], "serve") == 0)
        return serve_main(argc - 1, argv + 1);
    if (!load_options_parse(&o, argc, argv))
        return 0;
    signal(SIGPIPE, SIG_IGN);
    raise_limits(&o);
    if (!o.proto->datagram)
        probe(&o);
    if (o.load)
        run_fill(&o);
    w = workload_new(&o, PHASE_RUN);
    run_init(&run, &o, w);
    result = (struct result){.o = &o, .t = &tally, .seconds = run_all(&run, &tally)};
    result.started = run.start + (uint64_t)(run.warmup * 1e9);
    result_write(&result);
    tally_free(&tally);
    workload_free(w);
    return 0;
}
