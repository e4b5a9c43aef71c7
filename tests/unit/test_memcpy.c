// unit: tests/unit/memcpy_host.S -fno-pie -no-pie
/*
 * The assembly's memcpy, memmove, memset, user_copy and user_zero: every length to 600, every
 * alignment, every overlap, and a fault at every place (a SIGSEGV handler does what the kernel's
 * trap does with the exception table).
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define LONGEST 600
#define ROOM    1600

void *k_memcpy(void *dst, const void *src, size_t n);
void *k_memmove(void *dst, const void *src, size_t n);
void *k_memset(void *dst, int c, size_t n);
size_t user_copy(void *dst, const void *src, size_t n);
size_t user_zero(void *dst, size_t n);
extern const uint64_t memcpy_extable[][2], memcpy_extable_end[][2];

static uint8_t a[ROOM] __attribute__((aligned(64))), b[ROOM] __attribute__((aligned(64))),
    expected[ROOM];

static void fill(void)
{
    for (unsigned i = 0; i < ROOM; i++) {
        a[i] = (uint8_t)(i * 31 + 7);
        b[i] = 0xee;
    }
}

static void direction_is_up(void)
{
    uint64_t flags;
    __asm__ volatile("pushf; pop %0" : "=r"(flags));
    assert_int_equal(flags & 0x400, 0);
}

static void copies(void **state)
{
    for (unsigned n = 0; n <= LONGEST; n++)
        for (unsigned align = 0; align < 16; align++) {
            unsigned from = 16 + align * 5 % 16, to = 16 + align;

            fill();
            memcpy(expected, b, ROOM);
            memcpy(expected + to, a + from, n);
            assert_ptr_equal(k_memcpy(b + to, a + from, n), b + to);
            assert_memory_equal(b, expected, ROOM);
            fill();
            assert_int_equal(user_copy(b + to, a + from, n), 0);
            assert_memory_equal(b, expected, ROOM);
        }
}

static void moves(void **state)
{
    for (unsigned n = 0; n <= LONGEST; n += n < 80 ? 1 : 13)
        for (int delta = -70; delta <= 70; delta++) {
            int d = delta < -64 ? delta * 9 : delta > 64 ? delta * 9 : delta;

            fill();
            memcpy(expected, a, ROOM);
            memmove(expected + 650 + d - (d > 0 ? 600 : 0), a + 650 - (d > 0 ? 600 : 0), n);
            assert_ptr_equal(
                k_memmove(a + 650 + d - (d > 0 ? 600 : 0), a + 650 - (d > 0 ? 600 : 0), n),
                a + 650 + d - (d > 0 ? 600 : 0));
            assert_memory_equal(a, expected, ROOM);
        }
    direction_is_up();
}

static void sets(void **state)
{
    for (unsigned n = 0; n <= LONGEST; n++)
        for (unsigned align = 0; align < 16; align++) {
            int c = (int)(n * 3 + align) - 300;

            fill();
            memcpy(expected, b, ROOM);
            memset(expected + 16 + align, c, n);
            assert_ptr_equal(k_memset(b + 16 + align, c, n), b + 16 + align);
            assert_memory_equal(b, expected, ROOM);
            fill();
            memcpy(expected, b, ROOM);
            memset(expected + 16 + align, 0, n);
            assert_int_equal(user_zero(b + 16 + align, n), 0);
            assert_memory_equal(b, expected, ROOM);
        }
}

static volatile unsigned faults;

static void fix_up(int sig, siginfo_t *info, void *p)
{
    ucontext_t *uc = p;
    uint64_t rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];

    for (const uint64_t(*e)[2] = memcpy_extable; e < memcpy_extable_end; e++)
        if ((*e)[0] == rip) {
            faults++;
            uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(*e)[1];
            return;
        }
    abort();
}

/* A page that is not there, before or behind the bytes: all is reported as not copied, and nothing
 * outside the destination is written. */
static void fault_everywhere(void **state)
{
    struct sigaction sa = {.sa_sigaction = fix_up, .sa_flags = SA_SIGINFO}, old;
    uint8_t *page = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned expected_faults = 0;

    mprotect(page + 4096, 4096, PROT_READ | PROT_WRITE);
    sigaction(SIGSEGV, &sa, &old);
    for (unsigned n = 1; n <= 300; n++)
        for (unsigned inside = 0; inside < n; inside += inside < 40 ? 1 : 17) {
            fill();
            assert_int_equal(user_copy(page + 8192 - inside, a, n), n);
            assert_int_equal(user_copy(b + 100, page + 8192 - inside, n), n);
            assert_int_equal(user_copy(page + 4096 - n + inside, a, n), n);
            assert_int_equal(user_copy(b + 100, page + 4096 - n + inside, n), n);
            assert_int_equal(user_zero(page + 8192 - inside, n), n);
            assert_int_equal(user_zero(page + 4096 - n + inside, n), n);
            expected_faults += 6;
            for (unsigned i = 0; i < ROOM; i++)
                assert_true(b[i] == 0xee || (i >= 100 && i < 100 + n));
            direction_is_up();
        }
    sigaction(SIGSEGV, &old, NULL);
    assert_int_equal(faults, expected_faults);
    munmap(page, 3 * 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies),
        cmocka_unit_test(moves),
        cmocka_unit_test(sets),
        cmocka_unit_test(fault_everywhere),
    };
    return cmocka_run_group_tests_name("memcpy", tests, NULL, NULL);
}
