/*
 * Makes Debian's kernel boot the same root file system as Wherry: a small archive that goes
 * before it in the initrd, with our init (linux-init.c) and the virtio drivers, which Debian's
 * kernels have as modules. Host code; may block.
 */
#pragma once

#include "kimage.h"
#include "tree.h"

#define LINUX_INIT "/wherry-init"

/* The drivers for these machines, those of `more`, and what they depend on, into the tree. */
void linux_guest_fill(struct tree *t, const struct kimage *k, bool mmio, bool net,
                      const struct words *more);
