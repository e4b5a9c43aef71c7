/*
 * `wherry load`: the load generator, and with `serve` the null server it is checked against. Called
 * by main.c.
 */
#pragma once

int load_main(int argc, char **argv);
