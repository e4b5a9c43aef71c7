/* `wherry memnode --stats`: asks a running node for its statistics over a stream and prints them.
 * Called by memnode.c; blocks, for a few seconds at most; dies if there is no answer. */
#pragma once

#include "options.h"

void ask_stats(const struct memnode_options *o);
