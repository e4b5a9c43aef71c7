// unit: kernel/fs/pipe_ring.c kernel/fs/iov.c kernel/sched/wait.c kernel/lib/printf.c
/* Proves the data path of pipes: order, atomic writes, packets, ends, sizes, splice and tee. */
#include "ipc_fakes.h"

#include "fs/pipe.c"

void vfs_stat_inode(struct inode *i, struct kstat *st)
{
}

static int rfd, wfd;
static struct file *r, *w;

static int open_pipe(void **state)
{
    int fds[2];
    assert_int_equal(sys_pipe2(fds, O_NONBLOCK), 0);
    rfd = fds[0];
    wfd = fds[1];
    r = fd_peek(rfd);
    w = fd_peek(wfd);
    fake_sigpipes = 0;
    return 0;
}

static int close_pipe(void **state)
{
    fd_close(rfd);
    fd_close(wfd);
    assert_int_equal(fake_live(), 0);
    assert_int_equal(pipe_stats.pipes, 0);
    return 0;
}

static void bytes_come_out_in_order(void **state)
{
    static uint8_t in[200000], out[sizeof(in)];
    size_t sent = 0, got = 0;
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)((seed = seed * 1103515245u + 12345u) >> 16);
    while (got < sizeof(in)) {
        seed = seed * 1103515245u + 12345u;
        size_t n = MIN((size_t)(seed >> 16) % 9000, sizeof(in) - sent);
        ssize_t k = file_out(w, in + sent, n);
        assert_true(k >= 0 || k == -EAGAIN);
        if (k > 0)
            sent += (size_t)k;
        seed = seed * 1103515245u + 12345u;
        n = (size_t)(seed >> 16) % 9000;
        k = file_in(r, out + got, MIN(n, sizeof(out) - got));
        assert_true(k >= 0 || k == -EAGAIN);
        if (k > 0)
            got += (size_t)k;
        int queued = 0;
        assert_int_equal(r->ops->ioctl(r, FIONREAD, (uint64_t)&queued), 0);
        assert_int_equal(queued, sent - got);
    }
    assert_memory_equal(in, out, sizeof(in));
}

static void small_writes_share_a_page(void **state)
{
    for (int i = 0; i < 4096; i++)
        assert_int_equal(file_out(w, "x", 1), 1);
    assert_int_equal(pipe_of(w)->ring.head - pipe_of(w)->ring.tail, 1);
    /* The next one needs a new page. */
    assert_int_equal(file_out(w, "y", 1), 1);
    assert_int_equal(pipe_of(w)->ring.head - pipe_of(w)->ring.tail, 2);
}

static void a_small_write_is_never_split(void **state)
{
    static char buf[4096];
    for (int i = 0; i < 16; i++)
        assert_int_equal(file_out(w, buf, 3000), 3000);
    assert_int_equal(pipe_poll(w) & EPOLLOUT, 0);
    /* 1,096 bytes are free in the last page, not 3,000 in one piece. */
    assert_int_equal(file_out(w, buf, 3000), -EAGAIN);
    assert_int_equal(file_out(w, buf, 1000), 1000);
    assert_int_equal(file_in(r, buf, 3000), 3000);
    assert_true(pipe_poll(w) & EPOLLOUT);
    assert_int_equal(file_out(w, buf, 4096), 4096);
}

static void packets_keep_their_bounds(void **state)
{
    char buf[100];
    w->flags |= O_DIRECT;
    assert_int_equal(file_out(w, "abc", 3), 3);
    assert_int_equal(file_out(w, "defgh", 5), 5);
    assert_int_equal(file_in(r, buf, sizeof(buf)), 3);
    assert_memory_equal(buf, "abc", 3);
    assert_int_equal(file_in(r, buf, 2), 2); /* the rest of the packet is dropped */
    assert_int_equal(file_in(r, buf, sizeof(buf)), -EAGAIN);
}

static void ends_are_noticed(void **state)
{
    char c;
    assert_int_equal(file_in(r, &c, 1), -EAGAIN);
    assert_int_equal(pipe_poll(r), 0);
    assert_int_equal(file_out(w, "z", 1), 1);
    fd_close(wfd);
    assert_int_equal(pipe_poll(r), EPOLLIN | EPOLLHUP);
    assert_int_equal(file_in(r, &c, 1), 1);
    assert_int_equal(file_in(r, &c, 1), 0);
    assert_int_equal(pipe_poll(r), EPOLLHUP);
}

static void a_write_nobody_reads_gives_epipe(void **state)
{
    fd_close(rfd);
    assert_int_equal(pipe_poll(w), EPOLLOUT | EPOLLERR);
    assert_int_equal(file_out(w, "z", 0), 0);
    assert_int_equal(file_out(w, "z", 1), -EPIPE);
    assert_int_equal(fake_sigpipes, 1);
}

static void write_later(void)
{
    assert_int_equal(file_out(w, "late", 4), 4);
}

static void a_reader_sleeps_until_data_comes(void **state)
{
    char buf[10];
    r->flags &= ~(uint32_t)O_NONBLOCK;
    on_block = write_later;
    assert_int_equal(file_in(r, buf, sizeof(buf)), 4);
    fake_thread.signal_pending = true;
    assert_int_equal(file_in(r, buf, sizeof(buf)), -ERESTARTSYS);
    fake_thread.signal_pending = false;
}

static char drained[70000];
static ssize_t drained_len;

static void drain_later(void)
{
    drained_len = file_in(r, drained, sizeof(drained));
}

static void a_long_write_waits_for_room(void **state)
{
    static char buf[70000];
    w->flags &= ~(uint32_t)O_NONBLOCK;
    on_block = drain_later;
    assert_int_equal(file_out(w, buf, sizeof(buf)), sizeof(buf));
    assert_int_equal(drained_len, 65536);
    assert_int_equal(file_in(r, drained, sizeof(drained)), sizeof(buf) - 65536);
}

static void sizes_are_granted_as_linux_does(void **state)
{
    char buf[4096] = {0};
    assert_int_equal(pipe_get_size(r), 65536);
    assert_int_equal(pipe_set_size(r, 5000), 8192);
    assert_int_equal(pipe_set_size(r, 0), 4096);
    assert_int_equal(file_out(w, buf, 4096), 4096);
    assert_int_equal(file_out(w, buf, 1), -EAGAIN);
    assert_int_equal(pipe_set_size(w, 1 * MiB), 1 * MiB);
    for (int i = 0; i < 255; i++)
        assert_int_equal(file_out(w, buf, 4096), 4096);
    assert_int_equal(file_out(w, buf, 1), -EAGAIN);
    assert_int_equal(pipe_set_size(w, 4096), -EBUSY);
    assert_int_equal(pipe_set_size(w, 2 * MiB), -EPERM);
    assert_int_equal(pipe_set_size(w, 1ul << 32), -EINVAL);
}

static void faults_leave_nothing_behind(void **state)
{
    char buf[10];
    assert_int_equal(file_out(w, (void *)8, 100), -EFAULT);
    assert_int_equal(file_in(r, buf, 10), -EAGAIN);
    assert_int_equal(file_out(w, "abc", 3), 3);
    assert_int_equal(file_out(w, (void *)8, 100), -EFAULT);
    assert_int_equal(file_in(r, (void *)8, 10), -EFAULT);
    assert_int_equal(file_in(r, buf, 10), 3);
}

static void splice_and_tee_share_pages(void **state)
{
    int fds[2];
    char buf[100];
    assert_int_equal(sys_pipe2(fds, O_NONBLOCK), 0);
    struct file *r2 = fd_peek(fds[0]), *w2 = fd_peek(fds[1]);
    assert_int_equal(pipe_splice_pipe(r, w, 10, true), -EINVAL);
    assert_int_equal(pipe_tee(r, w2, 10, true), -EAGAIN);
    assert_int_equal(file_out(w, "hello world", 11), 11);
    assert_int_equal(pipe_tee(r, w2, 5, true), 5);
    /* Bytes written later must not appear in a page both see. */
    assert_int_equal(file_out(w2, "!", 1), 1);
    assert_int_equal(file_in(r2, buf, sizeof(buf)), 6);
    assert_memory_equal(buf, "hello!", 6);
    assert_int_equal(pipe_splice_pipe(r, w2, 6, true), 6);
    assert_int_equal(file_in(r, buf, sizeof(buf)), 5);
    assert_memory_equal(buf, "world", 5);
    assert_int_equal(file_in(r2, buf, sizeof(buf)), 6);
    assert_memory_equal(buf, "hello ", 6);
    fd_close(fds[0]);
    fd_close(fds[1]);
}

static struct inode fifo_inode;

static void open_writer(void)
{
    struct file *f;
    assert_int_equal(fifo_open(&fifo_inode, NULL, O_WRONLY | O_NONBLOCK, &f), 0);
    assert_int_equal(fd_install(f, 100, 0), 100);
}

static void fifos_meet(void **state)
{
    struct file *rd, *other;
    assert_int_equal(fifo_open(&fifo_inode, NULL, O_WRONLY | O_NONBLOCK, &rd), -ENXIO);
    assert_null(fifo_inode.object);
    on_block = open_writer;
    assert_int_equal(fifo_open(&fifo_inode, NULL, O_RDONLY, &rd), 0);
    assert_int_equal(file_out(fd_peek(100), "q", 1), 1);
    fd_close(100);
    assert_int_equal(pipe_poll(rd), EPOLLIN | EPOLLHUP);
    /* A reader that came before any writer is not told that there is none. */
    assert_int_equal(fifo_open(&fifo_inode, NULL, O_RDONLY | O_NONBLOCK, &other), 0);
    assert_int_equal(pipe_poll(other), EPOLLIN);
    file_put(other);
    file_put(rd);
    assert_null(fifo_inode.object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, open_pipe, close_pipe)
        T(bytes_come_out_in_order),
        T(small_writes_share_a_page),
        T(a_small_write_is_never_split),
        T(packets_keep_their_bounds),
        T(ends_are_noticed),
        T(a_write_nobody_reads_gives_epipe),
        T(a_reader_sleeps_until_data_comes),
        T(a_long_write_waits_for_room),
        T(sizes_are_granted_as_linux_does),
        T(faults_leave_nothing_behind),
        T(splice_and_tee_share_pages),
        T(fifos_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
