/* `wherry memnode`: lends this host's memory over RoCEv2 (docs/memnode.md). */
#pragma once

int memnode_main(int argc, char **argv);
