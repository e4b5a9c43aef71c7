/* wherry-memnode: `wherry memnode` with vhost.c instead of vhost_exec.c, which starts this. */
#include "memnode.h"

int main(int argc, char **argv)
{
    return memnode_main(argc - 1, argv + 1);
}
