/*
 * Long options of `wherry load` and `wherry load serve`: one table holds each with its help. Ends
 * the program with one line if a word is wrong.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arg {
    const char *name;  /* without the two minuses */
    const char *value; /* what help calls it; NULL: takes none */
    const char *help;
    void (*set)(void *options, const char *name, const char *value);
};

/* Reads options, stops at none: the words that are not options are moved to the front of argv, and
 * their number is returned; -1 if help was asked for. */
int args_parse(const struct arg *table, size_t n, void *options, int argc, char **argv);
void args_help(const struct arg *table, size_t n);

uint64_t arg_number(const char *name, const char *s, uint64_t min, uint64_t max);
double arg_real(const char *name, const char *s, double min, double max);
/* The index of s among the names, which NULL ends. */
int arg_one_of(const char *name, const char *s, const char *const *names);
