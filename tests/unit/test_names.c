// unit: kernel/lib/names.c
/* Proves that every number has the name that Linux's own headers give it. */
#define _GNU_SOURCE
#include "lib/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <signal.h>
#include <errno.h>
#include <sys/syscall.h>

#include <cmocka.h>

static void calls_have_their_names(void **state)
{
    (void)state;
#define CHECK(n) assert_string_equal(syscall_name(__NR_##n), #n)
    CHECK(read);
    CHECK(mmap);
    CHECK(rt_sigreturn);
    CHECK(epoll_pwait);
    CHECK(getrandom);
    CHECK(io_pgetevents);
    CHECK(rseq);
    CHECK(pidfd_send_signal);
    CHECK(clone3);
    CHECK(futex_waitv);
    CHECK(set_mempolicy_home_node);
#undef CHECK
    assert_null(syscall_name(400));
    assert_null(syscall_name(451));
    assert_null(syscall_name(UINT64_MAX));
}

static void errors_have_their_names(void **state)
{
    (void)state;
    for (int i = 1; i <= EHWPOISON; i++) {
        if (strerrorname_np(i) == NULL)
            continue;
        /* glibc and the kernel's headers prefer different ones of two aliases */
        const char *want = i == EOPNOTSUPP ? "EOPNOTSUPP" : strerrorname_np(i);
        assert_string_equal(errno_name(i), want);
    }
    assert_null(errno_name(0));
    assert_null(errno_name(-1));
    assert_null(errno_name(134));
}

static void signals_have_their_names(void **state)
{
    (void)state;
    for (int i = 1; i < 32; i++) {
        const char *n = signal_name(i);
        assert_memory_equal(n, "SIG", 3);
        assert_string_equal(n + 3, strcmp(sigabbrev_np(i), "POLL") == 0 ? "IO" : sigabbrev_np(i));
    }
    assert_null(signal_name(0));
    assert_null(signal_name(32));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_have_their_names),
        cmocka_unit_test(errors_have_their_names),
        cmocka_unit_test(signals_have_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
