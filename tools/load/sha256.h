/* SHA-256 (FIPS 180-4), for the content an HTTP server is expected to answer. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void sha256(uint8_t out[32], const void *data, size_t n);
