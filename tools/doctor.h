/* `wherry doctor`: a table of what this host has for running and comparing guests. Returns 0 if
 * guests can run, 1 otherwise. */
#pragma once

int doctor_main(int argc, char **argv);
