/*
 * Reading unwind tables byte by byte through the caller's function; see lib/unwind.h. Errors
 * stick to the reader, so that callers look once, after several fields.
 */
#include "lib/unwind_impl.h"

#define LEB_BYTES 10 /* the longest LEB128 number of 64 bits */

void unwind_reader_init(struct unwind_reader *r, const struct unwind_memory *mem, virt_t at,
                        virt_t end)
{
    r->mem = mem;
    r->at = at;
    r->end = end;
    r->error = UNWIND_OK;
    r->chunk_at = 0;
    r->chunk_len = 0;
}

void unwind_fail(struct unwind_reader *r, enum unwind_result why)
{
    if (r->error == UNWIND_OK)
        r->error = why;
}

/* One byte; memory is fetched in chunks that do not cross a page, so that a chunk is readable
 * whenever its first byte is. */
uint8_t unwind_u8(struct unwind_reader *r)
{
    if (r->error != UNWIND_OK)
        return 0;
    if (r->at >= r->end) {
        unwind_fail(r, UNWIND_BAD_TABLE);
        return 0;
    }
    if (r->at - r->chunk_at >= r->chunk_len) {
        uint64_t page_left = PAGE_SIZE - (r->at & (PAGE_SIZE - 1));
        uint64_t n = MIN((uint64_t)UNWIND_CHUNK, MIN(page_left, r->end - r->at));
        if (!r->mem->read(r->mem->ctx, r->at, r->chunk, n)) {
            r->chunk_len = 0;
            unwind_fail(r, UNWIND_UNREADABLE);
            return 0;
        }
        r->chunk_at = r->at;
        r->chunk_len = n;
    }
    return r->chunk[r->at++ - r->chunk_at];
}

uint64_t unwind_uint(struct unwind_reader *r, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)unwind_u8(r) << (8 * i);
    return v;
}

int64_t unwind_sint(struct unwind_reader *r, unsigned bytes)
{
    uint64_t v = unwind_uint(r, bytes);
    uint64_t sign = 1ull << (8 * bytes - 1);
    return (int64_t)((v ^ sign) - sign);
}

uint64_t unwind_uleb(struct unwind_reader *r)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < LEB_BYTES; i++) {
        uint8_t b = unwind_u8(r);
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (!(b & 0x80))
            return v;
    }
    unwind_fail(r, UNWIND_BAD_TABLE);
    return 0;
}

int64_t unwind_sleb(struct unwind_reader *r)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < LEB_BYTES; i++) {
        uint8_t b = unwind_u8(r);
        unsigned shift = 7 * i;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            if ((b & 0x40) && shift + 7 < 64)
                v |= ~0ull << (shift + 7);
            return (int64_t)v;
        }
    }
    unwind_fail(r, UNWIND_BAD_TABLE);
    return 0;
}

void unwind_skip(struct unwind_reader *r, uint64_t n)
{
    if (n > r->end - r->at)
        unwind_fail(r, UNWIND_BAD_TABLE);
    else
        r->at += n;
}

bool unwind_read_u64(const struct unwind_memory *mem, virt_t addr, uint64_t *out)
{
    return mem->read(mem->ctx, addr, out, sizeof(*out));
}

uint64_t unwind_encoded(struct unwind_reader *r, uint8_t enc, virt_t data_base)
{
    virt_t here = r->at;
    uint64_t v;
    switch (enc & PE_FORMAT) {
    case PE_ABSPTR:
    case PE_UDATA8:
    case PE_SDATA8:
        v = unwind_uint(r, 8);
        break;
    case PE_ULEB128:
        v = unwind_uleb(r);
        break;
    case PE_UDATA2:
        v = unwind_uint(r, 2);
        break;
    case PE_UDATA4:
        v = unwind_uint(r, 4);
        break;
    case PE_SLEB128:
        v = (uint64_t)unwind_sleb(r);
        break;
    case PE_SDATA2:
        v = (uint64_t)unwind_sint(r, 2);
        break;
    case PE_SDATA4:
        v = (uint64_t)unwind_sint(r, 4);
        break;
    default:
        unwind_fail(r, UNWIND_BAD_TABLE);
        return 0;
    }
    switch (enc & PE_RELATION) {
    case 0:
        break;
    case PE_PCREL:
        v += here;
        break;
    case PE_DATAREL:
        v += data_base;
        break;
    default:
        unwind_fail(r, UNWIND_BAD_TABLE);
        return 0;
    }
    if ((enc & PE_INDIRECT) && r->error == UNWIND_OK && !unwind_read_u64(r->mem, v, &v))
        unwind_fail(r, UNWIND_UNREADABLE);
    return v;
}
