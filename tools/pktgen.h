/* `wherry pktgen`: becomes wherry-pktgen, which is a program of its own since it is linked with
 * DPDK. */
#pragma once

int pktgen_main(int argc, char **argv);
