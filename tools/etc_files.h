/*
 * The files of /etc and the empty directories that programs expect, for root file systems packed
 * around a single program. Only what is not there yet is added. Host code; may block.
 */
#pragma once

#include "netspec.h"
#include "tree.h"

/* Directories and the links /bin, /lib, ... of a merged /usr, as the host has them. First of all.
 */
void skeleton_add(struct tree *t);
/* passwd, group, hosts, resolv.conf, nsswitch.conf. Last of all. */
void etc_files_add(struct tree *t, const struct netspec *net);
