/* `wherry run`: packs, checks, starts, waits. Returns the exit status. */
#pragma once

int run_main(int argc, char **argv);
