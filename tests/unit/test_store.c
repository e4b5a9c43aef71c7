// unit: kernel/lib/rbtree.c
/* Proves that a file's pages read as what was written to them, whatever mixture of archive data,
 * own frames and holes they are, and that every frame is given back exactly once. */
#include "fs_fakes.h"

#include "drivers/blkdev.h"
#include "fs/store.c"

#define PAGES 40u
#define SIZE  (PAGES * PAGE_SIZE)

static uint8_t model[SIZE];
static uint32_t seed;

static uint32_t rnd(uint32_t n)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 8) % n;
}

/* An archive of len bytes at offset off of the first frame; neighbours keep its border frames. */
static void make_backing(struct page_store *ps, size_t off, size_t len)
{
    phys_t at = FAKE_FIRST + off;
    phys_t last = (at + len - 1) & PAGE_MASK;
    frame_adopt(FAKE_FIRST, last + PAGE_SIZE);
    uint8_t *p = phys_to_virt(at);
    for (size_t k = 0; k < len; k++)
        p[k] = model[k] = (uint8_t)rnd(256);
    memset(model + len, 0, SIZE - len);
    if (len % PAGE_SIZE != 0 && off == 0) /* what tmpfs_finish_backing() does */
        memset(p + len, 0, PAGE_SIZE - len % PAGE_SIZE);
    store_init(ps, at, len);
}

static void check_read(const struct page_store *ps)
{
    for (uint64_t off = 0; off < SIZE;) {
        size_t n, want = 1 + rnd(9000);
        if (want > SIZE - off)
            want = SIZE - off;
        const uint8_t *p = store_run(ps, off, want, &n);
        assert_true(n > 0 && n <= want);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(p != NULL ? p[k] : 0, model[off + k]);
        off += n;
    }
}

static void step(struct page_store *ps)
{
    uint64_t page = rnd(PAGES);
    switch (rnd(5)) {
    case 0: { /* write */
        phys_t f = store_get(ps, page);
        uint32_t at = rnd(PAGE_SIZE);
        assert_true(f != 0);
        ((uint8_t *)phys_to_virt(f))[at] = model[page * PAGE_SIZE + at] = (uint8_t)rnd(256);
        break;
    }
    case 1: { /* punch */
        uint64_t last = page + rnd(6);
        last = MIN(last, (uint64_t)PAGES);
        assert_int_equal(store_punch(ps, page, last), 0);
        memset(model + page * PAGE_SIZE, 0, (last - page) * PAGE_SIZE);
        break;
    }
    case 2: { /* zero a part */
        uint32_t at = rnd(PAGE_SIZE), n = 1 + rnd(PAGE_SIZE - at);
        assert_int_equal(store_zero(ps, page * PAGE_SIZE + at, n), 0);
        memset(model + page * PAGE_SIZE + at, 0, n);
        break;
    }
    case 3: /* cut the end off, now and then */
        if (rnd(8) == 0) {
            store_cut(ps, page);
            memset(model + page * PAGE_SIZE, 0, SIZE - page * PAGE_SIZE);
        }
        break;
    case 4:
        check_read(ps);
        break;
    }
}

/* ---- A disk ---- */

static bool disk_fails;
static unsigned disk_reads;

static int disk_transfer(struct blkdev *b, bool write, uint64_t off, const phys_t *frames,
                         unsigned n)
{
    assert_false(write);
    disk_reads++;
    if (disk_fails)
        return -EIO;
    for (unsigned k = 0; k < n; k++) /* page p of the file is full of p + 1, but for its end */
        memset(phys_to_virt(frames[k]), (int)((off >> PAGE_SHIFT) + k + 1), PAGE_SIZE);
    return 0;
}

static struct blkdev disk = {.name = "vda", .size = 1 << 20, .transfer = disk_transfer};

static void disk_byte(struct page_store *ps, uint64_t off, uint8_t want)
{
    size_t n;
    assert_int_equal(store_bring(ps, off >> PAGE_SHIFT), 0);
    const uint8_t *p = store_run(ps, off, 1, &n);
    assert_int_equal(p != NULL ? *p : 0, want);
}

static void pages_come_from_the_disk_in_runs(void **state)
{
    struct page_store ps;
    fake_heap = 0;
    disk_reads = 0;
    assert_int_equal(store_init_disk(&ps, &disk, 0, 20 * PAGE_SIZE + 5), 0);
    disk_byte(&ps, 3, 1);
    disk_byte(&ps, 15 * PAGE_SIZE, 16);
    assert_int_equal(disk_reads, 1);
    disk_byte(&ps, 20 * PAGE_SIZE + 4, 21);
    disk_byte(&ps, 20 * PAGE_SIZE + 5, 0); /* beyond the end of the file */
    assert_int_equal(disk_reads, 2);
    assert_int_equal(store_count(&ps), 21);
    store_cut(&ps, 0);
    assert_int_equal(fake_frames_used, 0);
    assert_int_equal(fake_heap, 0);
}

static void a_disk_that_fails_is_no_page_of_zeroes(void **state)
{
    struct page_store ps;
    assert_int_equal(store_init_disk(&ps, &disk, 0, 4 * PAGE_SIZE), 0);
    disk_fails = true;
    assert_int_equal(store_bring(&ps, 1), -EIO);
    assert_int_equal(store_get(&ps, 1), 0);
    disk_fails = false;
    disk_byte(&ps, PAGE_SIZE, 2);
    store_cut(&ps, 0);
    assert_int_equal(fake_frames_used, 0);
}

static void clean_pages_are_given_up_and_read_again(void **state)
{
    struct page_store a, b;
    assert_int_equal(store_init_disk(&a, &disk, 0, 8 * PAGE_SIZE), 0);
    assert_int_equal(store_init_disk(&b, &disk, 0, 8 * PAGE_SIZE), 0);
    disk_byte(&a, 0, 1);
    disk_byte(&b, 0, 1);
    phys_t held = store_get(&a, 2), written = store_get(&a, 3);
    frame_get(held); /* a mapping */
    store_dirty(written);
    memset(phys_to_virt(written), 99, PAGE_SIZE);
    fake_frames_max = fake_frames_used;
    phys_t got[14];
    for (unsigned k = 0; k < ARRAY_SIZE(got); k++) {
        got[k] = frame_alloc(0);
        assert_true(got[k] != 0);
    }
    assert_int_equal(frame_alloc(0), 0);
    assert_int_equal(a.frames, 2);
    assert_int_equal(b.frames, 0);
    assert_int_equal(store_peek(&a, 2), held);
    fake_frames_max = FAKE_FRAMES;
    disk_byte(&a, 3 * PAGE_SIZE, 99);
    disk_byte(&a, 4 * PAGE_SIZE, 5);
    for (unsigned k = 0; k < ARRAY_SIZE(got); k++)
        frame_put(got[k]);
    frame_put(held);
    store_cut(&a, 0);
    store_cut(&b, 0);
    assert_int_equal(fake_frames_used, 0);
}

static void a_page_just_read_is_not_reclaimed_for_its_own_slot(void **state)
{
    struct page_store ps;
    assert_int_equal(store_init_disk(&ps, &disk, 0, 300 * PAGE_SIZE), 0);
    for (unsigned most = 1; most < 24; most++) {
        fake_frames_max = most;
        for (uint64_t i = 0; i < 300; i += 37) {
            phys_t f = store_get(&ps, i);
            assert_true(f != 0);
            assert_int_equal(*(uint8_t *)phys_to_virt(f), (uint8_t)(i + 1));
        }
    }
    fake_frames_max = FAKE_FRAMES;
    store_cut(&ps, 0);
    assert_int_equal(fake_frames_used, 0);
}

static void run(size_t off, size_t len)
{
    struct page_store ps;
    fake_heap = 0;
    if (len > 0)
        make_backing(&ps, off, len);
    else {
        store_init(&ps, 0, 0);
        memset(model, 0, SIZE);
    }
    unsigned steps = rnd(120);
    for (unsigned k = 0; k < steps; k++)
        step(&ps);
    check_read(&ps);
    store_cut(&ps, 0);
    assert_null(ps.root);
    assert_int_equal(fake_frames_used, 0);
    assert_int_equal(fake_heap, 0);
}

static void random_use_of_files_without_backing(void **state)
{
    for (unsigned k = 0; k < 60; k++)
        run(0, 0);
}

static void random_use_of_aligned_archive_data(void **state)
{
    for (unsigned k = 0; k < 150; k++)
        run(0, 1 + rnd(SIZE));
}

static void random_use_of_unaligned_archive_data(void **state)
{
    for (unsigned k = 0; k < 150; k++)
        run(4 * (1 + rnd(PAGE_SIZE / 4 - 1)), 1 + rnd(SIZE - PAGE_SIZE));
}

static void a_neighbour_keeps_the_shared_frame(void **state)
{
    struct page_store a, b;
    memset(model, 0, SIZE);
    make_backing(&a, 0x100, PAGE_SIZE); /* frames 0 and 1 */
    frame_get(FAKE_FIRST + PAGE_SIZE);
    store_init(&b, FAKE_FIRST + PAGE_SIZE + 0x100, 0x200);
    store_cut(&a, 0);
    assert_int_equal(fake_frames_used, 1);
    size_t n;
    assert_non_null(store_run(&b, 0, 100, &n));
    store_cut(&b, 0);
    assert_int_equal(fake_frames_used, 0);
}

static void far_apart_pages_need_few_nodes(void **state)
{
    struct page_store ps;
    store_init(&ps, 0, 0);
    fake_heap = 0;
    assert_true(store_get(&ps, 0) != 0);
    assert_true(store_get(&ps, (1ull << 51) - 1) != 0);
    assert_true(fake_heap < 20);
    assert_int_equal(store_next(&ps, 1, 1000, true), 1000);
    assert_int_equal(store_count(&ps), 2);
    store_cut(&ps, 1);
    assert_int_equal(fake_frames_used, 1);
    store_cut(&ps, 0);
    assert_int_equal(fake_frames_used, 0);
    assert_int_equal(fake_heap, 0);
}

static void running_out_of_memory_leaves_the_file_as_it_was(void **state)
{
    struct page_store ps;
    make_backing(&ps, 0x80, 3 * PAGE_SIZE);
    fake_frames_max = fake_frames_used;
    assert_int_equal(store_get(&ps, 1), 0);
    assert_int_equal(store_zero(&ps, PAGE_SIZE, 10), -ENOMEM);
    fake_frames_max = FAKE_FRAMES;
    check_read(&ps);
    store_cut(&ps, 0);
    assert_int_equal(fake_frames_used, 0);
}

static void a_page_others_hold_is_zeroed_in_place(void **state)
{
    struct page_store ps;
    store_init(&ps, 0, 0);
    phys_t f = store_get(&ps, 3);
    memset(phys_to_virt(f), 1, PAGE_SIZE);
    frame_get(f); /* a mapping */
    assert_int_equal(store_punch(&ps, 0, 10), 0);
    assert_int_equal(((uint8_t *)phys_to_virt(f))[100], 0);
    assert_int_equal(store_peek(&ps, 3), f);
    frame_put(f);
    store_cut(&ps, 0);
    assert_int_equal(fake_frames_used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use_of_files_without_backing),
        cmocka_unit_test(random_use_of_aligned_archive_data),
        cmocka_unit_test(random_use_of_unaligned_archive_data),
        cmocka_unit_test(a_neighbour_keeps_the_shared_frame),
        cmocka_unit_test(far_apart_pages_need_few_nodes),
        cmocka_unit_test(running_out_of_memory_leaves_the_file_as_it_was),
        cmocka_unit_test(a_page_others_hold_is_zeroed_in_place),
        cmocka_unit_test(pages_come_from_the_disk_in_runs),
        cmocka_unit_test(a_disk_that_fails_is_no_page_of_zeroes),
        cmocka_unit_test(clean_pages_are_given_up_and_read_again),
        cmocka_unit_test(a_page_just_read_is_not_reclaimed_for_its_own_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
