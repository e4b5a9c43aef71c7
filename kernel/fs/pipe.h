/*
 * Pipes and FIFOs (fs/pipe.c), as fcntl(2), splice(2), tee(2) and the path walk see them.
 * All of it is for threads; what moves data may sleep. fifo_open() is declared in fs/vfs.h.
 */
#pragma once

#include "fs/file.h"

#define PIPE_SLOTS    16u         /* pages a new pipe holds */
#define PIPE_SIZE_MAX (1ul * MiB) /* what F_SETPIPE_SZ grants: fs.pipe-max-size */

/* Is this an end of a pipe or FIFO? */
static inline bool file_is_pipe(const struct file *f)
{
    return f->kind & FILE_PIPE;
}

/* F_SETPIPE_SZ and F_GETPIPE_SZ: bytes, or -EBADF (no pipe), -EINVAL, -EPERM, -EBUSY, -ENOMEM. */
long pipe_set_size(struct file *f, uint64_t size);
long pipe_get_size(struct file *f);

/*
 * Takes up to n bytes out of f, a readable end, handing each piece to actor, which returns how
 * much of it it used (fewer: stop) or -errno. Waits for the first byte unless nonblock
 * (-EAGAIN). Returns bytes taken, 0 at the end (no writer left), or the first error. The actor may
 * sleep; the pipe stays locked meanwhile.
 */
typedef ssize_t (*pipe_actor)(void *ctx, const void *data, size_t len);
ssize_t pipe_splice_out(struct file *f, size_t n, bool nonblock, pipe_actor actor, void *ctx);
/*
 * Puts up to n bytes into f, a writable end: fill writes at most room bytes to buf and returns how
 * many, 0 for "no more", or -errno. Waits for room for the first byte unless nonblock. -EPIPE, with
 * SIGPIPE, when nobody reads.
 */
typedef ssize_t (*pipe_fill)(void *ctx, void *buf, size_t room);
ssize_t pipe_splice_in(struct file *f, size_t n, bool nonblock, pipe_fill fill, void *ctx);
/* Puts len bytes at off of a page frame in without copying; the frame is referenced. len or as
 * above. */
ssize_t pipe_splice_page(struct file *f, phys_t frame, size_t off, size_t len, bool nonblock);
/* Moves (splice) or duplicates (tee) up to n bytes from one pipe to another, by page reference.
 * -EINVAL when both are the same pipe. */
ssize_t pipe_splice_pipe(struct file *in, struct file *out, size_t n, bool nonblock);
ssize_t pipe_tee(struct file *in, struct file *out, size_t n, bool nonblock);

struct pipe_stats {
    uint64_t pipes;         /* live */
    uint64_t reads, writes; /* calls */
    uint64_t pages_shared;  /* handed on without a copy */
};
extern struct pipe_stats pipe_stats;
