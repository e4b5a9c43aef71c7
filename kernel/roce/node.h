/*
 * One memory node, as seen from here: the session with it (session.h), three reliable connections,
 * for pages that are waited for, fetched ahead and sent away (qp.h), and the frames of both. Called
 * by remote.c; calls net/peer.h. Never sleeps.
 *
 * A node that is lost is asked for again, with the same memory, until it says that it has forgotten
 * it (DEAD) or for as long as remote.c wants.
 */
#pragma once

#include "net/peer.h"
#include "roce/qp.h"
#include "roce/session.h"

#define NODE_RING 256u /* requests of a connection */

enum node_state {
    NODE_IS_OPENING, /* for the first time, or again */
    NODE_IS_UP,
    NODE_IS_DEAD,    /* see session.error */
    NODE_IS_LEAVING, /* by node_close() */
};

struct node;

struct node_link {
    struct roce_qp qp;
    struct node *node;
    bool posted; /* something is to be sent */
    struct roce_request ring[NODE_RING];
};

struct node {
    uint32_t ip; /* host order */
    uint16_t control_port;
    enum node_state state;
    struct session session;
    struct net_port *port;
    struct net_way way;
    bool way_known;
    uint64_t way_due; /* to be looked up again */
    uint16_t src_port;
    struct node_link link[SESSION_QPS];
    uint64_t again;  /* when one that has refused us is asked again; 0: none has */
    uint64_t losses; /* times it was lost */
    const char *why; /* it was the last time */
    bool several;    /* there are others: it need not be waited for long, and may come back empty */
    bool renewed;    /* its memory is another one */
};

/* What became of a request: the cookie, its status. In order for each link. */
void node_done(struct node *n, void *cookie, int status);

/* The page that a request's answer landed in is the owner's, in the place of the one that was to be
 * filled, which is to be taken out of the way: the request's buffer is not looked at any more. */
void node_landed(void *cookie, phys_t page);

/* Its session has gone on: node_poll() has something to do. */
void node_heard(struct node *n);
/* It is lost: all requests are over by now. It is there again; empty: with memory that holds
 * nothing of ours. Not called for the first time. */
void node_lost(struct node *n);
void node_back(struct node *n, bool empty);
/* What it held is lost, and it will not be asked again: session.error says why. */
void node_dead(struct node *n);

/* Begins. n->ip, control_port, and the session's secret, name and want are set. 0 or -ENOMEM. */
int node_open(struct node *n);
/* Does what is due; sends what was posted. When it must be called again. */
uint64_t node_poll(struct node *n, uint64_t now);
/* Moves bytes: of the node's memory from offset on. false: not now. The page is physical. */
bool node_post(struct node *n, unsigned link, bool write, uint64_t offset, void *buf, uint32_t len,
               void *cookie);
void node_kick(struct node *n, uint64_t now);
/* Gives its memory back: all requests are over, nothing is posted any more, and node_poll() says so
 * to the node until node_is_closed(). */
void node_close(struct node *n, uint64_t now);
static inline bool node_is_closed(const struct node *n)
{
    return n->session.state == SESSION_IDLE || n->session.state == SESSION_DOWN;
}
/* One that is closed or dead, or was never there, is forgotten: its memory is the caller's. */
void node_free(struct node *n);
