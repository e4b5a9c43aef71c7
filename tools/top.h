/* `wherry top`: what a guest counts, as it runs. Host code; blocks. */
#pragma once

/* Gets the words behind its name; returns the exit status. */
int top_main(int argc, char **argv);
