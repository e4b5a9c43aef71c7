/*
 * The responder of reliable connections (RoCEv2; IBTA vol. 1 §9.7): takes RDMA READ and WRITE
 * requests, carries them out in memory, and makes the responses. Pure: no I/O, no clock; packets
 * come in by responder_input(), and go out through struct responder_env when responder_run() is
 * called. Called by node.c and control.c, and by tests.
 *
 * How it works. A queue pair expects one PSN. A packet with that PSN is executed at once: a WRITE's
 * bytes go to memory, of a READ the range is checked. What is to be sent for it is a job in the
 * queue pair's own queue: an acknowledgement, or a READ's responses. Jobs are done in order by
 * responder_run(), a few packets of each queue pair in turn, so that a long READ of one does not
 * hold up another's short one. An acknowledgement that is last in the queue takes in all that comes
 * after it, so there is one for a batch of packets, whatever their number.
 *
 *   PSN is the expected one  execute; job if AckReq is set or it is a READ
 *   PSN is ahead             one NAK "sequence", then nothing until the expected one comes
 * (§9.7.5.2.1) PSN is behind            WRITE: acknowledged again; READ: replayed from memory if it
 * is one of the last rd_atomic READs, or a later part of it (§9.7.5.1.2) wrong opcode or length NAK
 * "invalid request", and the queue pair is in error key, range, permission   NAK "remote access
 * error", the same A queue pair in error finishes its jobs, NAK included, and is deaf. Bad ICRCs,
 * packets to nobody or from another address, and responses are dropped and counted.
 *
 * A READ's bytes are those that memory holds when its responses are made. A WRITE that follows
 * it may come first: who minds sets the fence, that is, waits (§10.8.3.3, RDMA READ before RDMA
 * WRITE).
 */
#pragma once

#include "../../kernel/roce/node_proto.h"
#include "../../kernel/roce/wire.h"

enum {
    RESPONDER_QPS = 1024, /* of all clients: a power of two */
    RESPONDER_RD_ATOMIC = 128,
    RESPONDER_TURN = 16, /* packets of one queue pair, then the next one's */
    RESPONDER_LENGTH_MAX = 1u << 31,
    /* From the IP header to the ICRC. */
    RESPONDER_PACKET_MAX = ROCE_IP4 + ROCE_UDP + ROCE_BTH + ROCE_AETH + ROCE_MTU_MAX + ROCE_ICRC,
    RESPONDER_TTL = 64,
};

#define RESPONDER_COUNTS(X)                                                                        \
    X(packets_in, "packets that came, in order or not")                                            \
    X(packets_out, "packets that left")                                                            \
    X(writes, "WRITEs completed")                                                                  \
    X(write_bytes, "bytes written")                                                                \
    X(reads, "READs accepted")                                                                     \
    X(read_bytes, "bytes sent in responses, replayed ones too")                                    \
    X(acks, "acknowledgements, without those by READ responses")                                   \
    X(nak_sequence, "NAKs: a packet is missing")                                                   \
    X(nak_invalid, "NAKs: invalid request")                                                        \
    X(nak_access, "NAKs: wrong key, range or permission")                                          \
    X(out_of_sequence, "packets dropped since one before them is missing")                         \
    X(duplicate_writes, "packets of WRITEs that were executed before")                             \
    X(duplicate_reads, "READs replayed")                                                           \
    X(not_replayed, "duplicate READs that are too old, changed, or still under way")               \
    X(full, "requests dropped since too many are under way")

enum responder_count {
#define X(name, help) COUNT_##name,
    RESPONDER_COUNTS(X)
#undef X
        NR_RESPONDER_COUNTS,
};
extern const char *const responder_count_names[NR_RESPONDER_COUNTS];
extern const char *const responder_count_helps[NR_RESPONDER_COUNTS];

/* Packets that belong to no queue pair, or cannot be believed to. */
#define RESPONDER_DROPS(X)                                                                         \
    X(malformed, "not a transport packet")                                                         \
    X(bad_icrc, "wrong ICRC")                                                                      \
    X(service, "not of a reliable connection")                                                     \
    X(no_qp, "to no queue pair")                                                                   \
    X(not_peer, "to a queue pair, from or to another address")                                     \
    X(partition, "of another partition")                                                           \
    X(not_request, "responses")                                                                    \
    X(in_error, "to a queue pair in error")

enum responder_drop {
#define X(name, help) DROP_##name,
    RESPONDER_DROPS(X)
#undef X
        NR_RESPONDER_DROPS,
    RESPONDER_TAKEN = NR_RESPONDER_DROPS, /* not dropped so */
};
extern const char *const responder_drop_names[NR_RESPONDER_DROPS];
extern const char *const responder_drop_helps[NR_RESPONDER_DROPS];

/* What a queue pair is made of. */
struct responder_spec {
    uint32_t owner; /* whose memory it reaches */
    uint32_t peer_qpn, psn;
    uint32_t peer, local; /* IPv4 */
    uint16_t peer_port, local_port;
    uint16_t mtu, rd_atomic;
};

/* To be sent: an acknowledgement of some syndrome, or the rest of a READ. */
struct responder_job {
    bool read, started;
    uint8_t syndrome;
    uint32_t psn, msn;
    uint32_t rkey, left;
    uint64_t va;
};

struct responder_past_read {
    uint32_t psn, packets, rkey, len;
    uint64_t va;
};

struct responder_qp {
    struct responder_spec spec;
    uint32_t qpn;
    uint64_t heard; /* when a packet came last, by the responder's clock */
    bool error, nak_sent;
    uint32_t epsn, msn;
    bool writing; /* in a WRITE of several packets */
    uint32_t write_rkey, write_left;
    uint64_t write_va;
    struct responder_past_read *past; /* rd_atomic of them; nr_past counts all that ever were */
    uint64_t nr_past;
    struct responder_job *jobs; /* a ring */
    unsigned first_job, nr_jobs, room_jobs;
    bool active;               /* in the responder's list of those with jobs */
    struct responder_qp *next; /* there */
    uint64_t count[NR_RESPONDER_COUNTS];
};

/* What the responder needs of the world. */
struct responder_env {
    void *ctx;
    /* Where n > 0 bytes of an owner's memory lie, if rkey permits; else NULL. */
    uint8_t *(*memory)(void *ctx, uint32_t owner, uint32_t rkey, uint64_t va, uint64_t n,
                       unsigned access);
    /* Room for a packet, RESPONDER_PACKET_MAX bytes from its IP header on; NULL: not now. It may
     * be asked for again and not be used. */
    uint8_t *(*room)(void *ctx, const struct responder_qp *qp);
    /* Sends n bytes from there on. */
    void (*send)(void *ctx, const struct responder_qp *qp, uint8_t *ip, size_t n);
    /* Faults for tests, NULL otherwise: before bytes are overwritten; where the bytes for a READ
     * lie instead; whether it has spoilt a payload before its ICRC is made. */
    void (*before_write)(void *ctx, const uint8_t *at, size_t n);
    const uint8_t *(*source)(void *ctx, const uint8_t *at, size_t n);
    bool (*forge)(void *ctx, uint8_t *payload, size_t n);
};

struct responder {
    struct responder_env env;
    uint64_t now; /* the caller's clock, which only he reads */
    struct responder_qp *qps[RESPONDER_QPS];
    unsigned nr_qps;
    struct responder_qp *first_active, *last_active;
    unsigned nr_active;
    uint64_t dropped[NR_RESPONDER_DROPS];
    uint64_t count[NR_RESPONDER_COUNTS]; /* of queue pairs that are gone */
};

void responder_init(struct responder *r, const struct responder_env *env);
void responder_close(struct responder *r);
bool responder_spec_good(const struct responder_spec *spec);
/* A queue pair that is ready. random: makes its number hard to guess. NULL: there are too many. */
const struct responder_qp *responder_add(struct responder *r, const struct responder_spec *spec,
                                         uint32_t random);
/* False: the owner has none with that number. */
bool responder_remove(struct responder *r, uint32_t owner, uint32_t qpn);
void responder_remove_all(struct responder *r, uint32_t owner);
unsigned responder_count(const struct responder *r, uint32_t owner);
/* When one of the owner's queue pairs has got a packet last; 0: never. */
uint64_t responder_heard(const struct responder *r, uint32_t owner);
/* Of the queue pairs there are and were. */
void responder_total(const struct responder *r, uint64_t count[NR_RESPONDER_COUNTS]);

/* A packet came: its IP header without options, UDP, and a transport of so many bytes, all in one
 * piece; that addresses, lengths and checksums are consistent has been seen to. The packet is not
 * needed any more when this returns. */
enum responder_drop responder_input(struct responder *r, const uint8_t *ip, size_t transport_len);
/* Sends what there is to send, at most so many packets. True: there is more, which waits for
 * budget or room. */
bool responder_run(struct responder *r, unsigned budget);
