/*
 * `wherry cc`: see cc.c.
 */
#pragma once

int cc_main(int argc, char **argv);
