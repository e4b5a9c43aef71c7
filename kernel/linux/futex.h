/*
 * Futexes, as thread exit needs them.
 */
#pragma once

struct thread;

/* Clears and wakes clear_child_tid, and releases robust mutexes. May sleep. */
void futex_thread_exit(struct thread *t);
