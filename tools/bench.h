/*
 * `wherry bench` and `wherry report`: Python programs in tools/bench, started from here.
 * Called by main.c.
 */
#pragma once

int bench_main(int argc, char **argv);
int report_main(int argc, char **argv);
