/*
 * What is done to a page before it leaves, and undone when it is back: nothing; a tag is kept by
 * which it is known again (verify.h); or it is encrypted, and the tag is that of what was sent
 * (encrypt-then-MAC: M. Bellare and C. Namprempre, ASIACRYPT 2000, §4.3). Called by io.c. Pure but
 * for the one table of all slots.
 *
 * Encryption is a stream cipher: AES-128 in counter mode by the CPU's instructions, or ChaCha20,
 * whichever is faster here. Both are only safe if no part of a key stream is ever used twice. The
 * nonce is therefore the number of the write, 64 bits that are counted up for every page that is
 * sealed and never come again under the key, which is made at boot and lives as long as the guest.
 * The number stands in the slot's table beside the tag, and not on the wire: there is nothing that
 * a node could give back but the right page or a wrong one.
 *
 *  - A page that is sealed anew, also for the same slot and with the same contents, has a new
 * number. What is sent again by the backend, repeated or copied from node to node, is the same
 * bytes.
 *  - A slot has one write under way at most, and is not read then: SLOT_WRITING in io.c, and
 *    far_slot_give() only when the last transfer is done. So tag and number in the table are those
 *    of the bytes that a read of a whole page should bring.
 *  - Pieces of pages (far_unseal_part()) are not verified, and may be older than the number: hints.
 */
#pragma once

#include "mm/far/verify.h"

enum far_verify { FAR_VERIFY_OFF, FAR_VERIFY_CHECKSUM, FAR_VERIFY_ENCRYPT };

#define FAR_CIPHER_KEY 32u

struct far_cipher {
    const char *name;
    bool (*usable)(void); /* on this CPU; NULL: on any */
    void (*set_key)(const uint8_t key[FAR_CIPHER_KEY]);
    /* XORs n bytes of src with the key stream of `number` from its byte `at` on, to dst, which is
     * src or does not overlap it. */
    void (*crypt)(uint64_t number, unsigned at, void *dst, const void *src, size_t n);
};

/* "aes128", "chacha20". */
extern const struct far_cipher *const far_ciphers[];
extern const unsigned far_nciphers;
/* The one in use; NULL: pages are not encrypted. */
extern const struct far_cipher *far_cipher;

/* Chooses a cipher: of this name, or for NULL the fastest by the clock (any unit; a higher reading
 * is later) on a page. NULL: there is none of the name, or this CPU cannot. */
const struct far_cipher *far_cipher_choose(const char *name, uint64_t (*clock)(void));

/* Bytes of table for so many slots, 0: none is needed. */
size_t far_seal_bytes(enum far_verify v, uint32_t slots);
/* Once, with a table of far_seal_bytes() and, for encryption, the cipher and its key. Tags want
 * far_key to be set. */
void far_seal_init(enum far_verify v, uint32_t slots, void *table, const struct far_cipher *cipher,
                   const uint8_t key[FAR_CIPHER_KEY]);

/* There are more slots: what is known of those that there were goes to another table. The old one,
 * which is the caller's again. */
void *far_seal_move(uint32_t slots, uint32_t more, void *table);

/* A page as it goes to the slot. */
void far_seal(uint32_t slot, void *restrict to, const void *restrict page);
/* What came from the slot becomes the page again, in place. False: it is not what went there; the
 * bytes are of no use. */
bool far_unseal(uint32_t slot, void *page);
/* n bytes, which are those from `at` on of the slot's page; not verified. */
void far_unseal_part(uint32_t slot, unsigned at, void *bytes, size_t n);
