/*
 * QEMU's user-mode network listens on forwarded ports with room for one connection that waits to be
 * accepted. Of a burst of clients (redis-benchmark opens 50 at once) most overflow it and hang in
 * their TCP's retransmissions, for a minute or for good. The room can be made from outside: a
 * second listen() on the same socket, of which the monitor's parent may have a copy
 * (pidfd_getfd(2)). Host code; does not block.
 */
#pragma once

#include "ports.h"

#include <sys/types.h>

/* Widens the queues of all TCP ports that pid listens on by now. True if nothing is left to do:
 * all are wide, or this host does not let us. */
bool backlog_widen(pid_t pid, const struct port *ports, size_t n);
