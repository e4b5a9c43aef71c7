/*
 * Queue pairs and memory keys of an RDMA device of this host, in place of the responder's: the
 * device reads and writes extents, and this process is idle meanwhile. verbs.c makes one
 * (verbs_none.c where it was built without libibverbs). Called by control.c and memory.c through
 * this table, so that they need no library. What is called may sleep in the host's kernel.
 */
#pragma once

#include "memory.h"
#include "responder.h"
#include "transport.h"

struct device_ops {
    /* A queue pair that is ready; psn: where requests of its own would begin. */
    enum node_status (*connect)(struct device *d, const struct responder_spec *spec, uint32_t psn,
                                uint32_t *qpn);
    /* False: the owner has none with that number. */
    bool (*disconnect)(struct device *d, uint32_t owner, uint32_t qpn);
    void (*disconnect_all)(struct device *d, uint32_t owner);
    unsigned (*count)(const struct device *d, uint32_t owner);
    /* The owner's queue pairs reach an extent, whose bytes are at `at`, from now on by the key that
     * is put into it. False: the device or the host's limits do not permit. */
    bool (*open)(struct device *d, struct extent *e, void *at);
    /* ... and no more. */
    void (*close)(struct device *d, struct extent *e);
};

#define DEVICE_COUNTS(X)                                                                           \
    X(queue_pairs, "queue pairs made")                                                             \
    X(extents, "extents registered")                                                               \
    X(refused, "queue pairs and extents that the device or the host refused")                      \
    X(failed, "queue pairs that went into error")                                                  \
    X(events, "events of the device and its port")

struct device_counts {
#define X(name, help) uint64_t name;
    DEVICE_COUNTS(X)
#undef X
};

struct device {
    const struct device_ops *ops;
    const char *name;
    uint16_t rd_atomic; /* READs of one queue pair at once, at most */
    unsigned nr_qps;    /* of all owners */
    struct device_counts counts;
};

/* The device of that name, by libibverbs; `listen` chooses among its IPv4 addresses, INADDR_ANY:
 * the first. Dies, by one line, where that cannot be. What it returns is the transport, which
 * carries nothing: it knows address and path MTU, and is readable when the device has something to
 * say. */
struct transport *transport_verbs(const char *name, uint8_t port, uint32_t listen,
                                  struct device **device);
