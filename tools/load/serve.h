/*
 * `wherry load serve`: the null server. It does the least work that still makes answers the
 * generator takes for good, with a known delay, known stalls, or known mistakes. One thread.
 */
#pragma once

int serve_main(int argc, char **argv);
