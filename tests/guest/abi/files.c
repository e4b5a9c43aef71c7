/* File system calls: paths, links, renames, attributes, holes, splicing, seals, locks, directories,
 * descriptors, and what /proc says of the caller. */
#include "tap.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>

static char dir[PATH_MAX];
static char buf[1 << 20];

static void put(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static const char *get(const char *path)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return "(none)";
    size_t n = 0;
    for (ssize_t r; (r = read(fd, buf + n, sizeof(buf) - 1 - n)) > 0;)
        n += (size_t)r;
    close(fd);
    buf[n] = '\0';
    return buf;
}

static bool holds(const char *path, const char *text)
{
    return strcmp(get(path), text) == 0;
}

static void paths(void)
{
    struct stat st;
    OK(mkdir("d", 0755) == 0 && mkdir("d/e", 0700) == 0);
    FAILS(mkdir("d", 0755), EEXIST);
    FAILS(mkdir("none/x", 0755), ENOENT);
    put("d/f", "one");
    OK(holds("d//./e/../f", "one"));
    FAILS(open("d/f/", O_RDONLY), ENOTDIR);
    FAILS(open("d/f/g", O_RDONLY), ENOTDIR);
    FAILS(open("d", O_WRONLY), EISDIR);
    FAILS(open("d/f", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    FAILS(open("d/f", O_DIRECTORY | O_RDONLY), ENOTDIR);
    FAILS(open((char *)8, O_RDONLY), EFAULT);
    FAILS(open("", O_RDONLY), ENOENT);
    OK(symlink("d/f", "l") == 0 && holds("l", "one"));
    OK(readlink("l", buf, 2) == 2 && buf[1] == '/');
    FAILS(readlink("d/f", buf, 10), EINVAL);
    FAILS(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
    OK(symlink("b", "a") == 0 && symlink("a", "b") == 0);
    FAILS(stat("a", &st), ELOOP);
    OK(lstat("a", &st) == 0 && S_ISLNK(st.st_mode) && st.st_size == 1);
    OK(link("d/f", "h") == 0 && stat("h", &st) == 0 && st.st_nlink == 2);
    FAILS(link("d", "hd"), EPERM);
    FAILS(link("d/f", "h"), EEXIST);
    OK(linkat(AT_FDCWD, "l", AT_FDCWD, "hl", 0) == 0 && lstat("hl", &st) == 0 &&
       S_ISLNK(st.st_mode));
    OK(stat("d", &st) == 0 && st.st_nlink == 3);
    FAILS(rmdir("d"), ENOTEMPTY);
    FAILS(rmdir("d/f"), ENOTDIR);
    FAILS(rmdir("d/."), EINVAL);
    FAILS(unlink("d"), EISDIR);
    FAILS(unlink("none"), ENOENT);
    FAILS(rename("d", "d/e/x"), EINVAL);
    FAILS(rename("h", "d"), EISDIR);
    FAILS(rename("d", "h"), ENOTDIR);
    FAILS(renameat2(AT_FDCWD, "h", AT_FDCWD, "l", RENAME_NOREPLACE), EEXIST);
    put("x", "ex");
    put("y", "why");
    OK(renameat2(AT_FDCWD, "x", AT_FDCWD, "y", RENAME_EXCHANGE) == 0 && holds("x", "why"));
    OK(rename("x", "y") == 0 && holds("y", "why") && access("x", F_OK) == -1);
    OK(rename("h", "d/f") == 0 && access("h", F_OK) == 0); /* two names of one file stay */
    int fd = open("d", O_RDONLY | O_DIRECTORY);
    OK(openat(fd, "f", O_RDONLY) >= 0);
    OK(faccessat(fd, "f", W_OK, 0) == 0);
    FAILS(openat(999, "f", O_RDONLY), EBADF);
    OK(fchdir(fd) == 0 && access("e", X_OK) == 0 && chdir("..") == 0);
    OK(unlinkat(fd, "e", AT_REMOVEDIR) == 0);
    close(fd);
    char cwd[PATH_MAX];
    OK(getcwd(cwd, sizeof(cwd)) == cwd && strcmp(cwd, dir) == 0);
    FAILS(syscall(SYS_getcwd, cwd, 2), ERANGE);
    OK(mknod("fifo", S_IFIFO | 0600, 0) == 0 && stat("fifo", &st) == 0 && S_ISFIFO(st.st_mode));
    FAILS(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
}

static void contents(void)
{
    char small[64];
    struct stat st;
    int fd = open("c", O_CREAT | O_RDWR | O_TRUNC, 0644);
    OK(pwrite(fd, "end", 3, 100000) == 3 && fstat(fd, &st) == 0 && st.st_size == 100003);
    OK(st.st_blocks > 0 && st.st_blocks <= 16);
    OK(pread(fd, small, 4, 99999) == 4 && memcmp(small, "\0end", 4) == 0);
    OK(lseek(fd, 0, SEEK_DATA) == 98304 && lseek(fd, 0, SEEK_HOLE) == 0);
    OK(lseek(fd, 98304, SEEK_HOLE) == 100003);
    FAILS(lseek(fd, 100003, SEEK_DATA), ENXIO);
    FAILS(lseek(fd, -1, SEEK_SET), EINVAL);
    OK(ftruncate(fd, 100001) == 0 && ftruncate(fd, 100003) == 0);
    OK(pread(fd, small, 3, 100000) == 3 && memcmp(small, "e\0\0", 3) == 0);
    OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 200000) == 0 &&
       fstat(fd, &st) == 0 && st.st_blocks == 0 && st.st_size == 100003);
    OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20) == 0 && fstat(fd, &st) == 0 &&
       st.st_size == 100003 && st.st_blocks == 2048);
    FAILS(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
    FAILS(fallocate(fd, 0, 0, 0), EINVAL);
    struct iovec v[3] = {{"ab", 2}, {NULL, 0}, {"cd", 2}};
    OK(pwritev(fd, v, 3, 10) == 4 && pread(fd, small, 4, 10) == 4 && memcmp(small, "abcd", 4) == 0);
    FAILS(syscall(SYS_writev, fd, v, -1), EINVAL);
    FAILS(syscall(SYS_write, fd, 8, 10), EFAULT);
    int ro = open("c", O_RDONLY), wo = open("c", O_WRONLY | O_APPEND);
    FAILS(write(ro, "x", 1), EBADF);
    FAILS(read(wo, small, 1), EBADF);
    FAILS(ftruncate(ro, 0), EINVAL);
    OK(write(wo, "tail", 4) == 4 && fstat(fd, &st) == 0 && st.st_size == 100007);
    FAILS(pread(ro, small, 1, -1), EINVAL);
    int p[2];
    OK(pipe(p) == 0);
    FAILS(pread(p[0], small, 1, 0), ESPIPE);
    FAILS(lseek(p[0], 0, SEEK_SET), ESPIPE);
    /* A mapping and the file are the same bytes. */
    char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *q = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    MUST(m != MAP_FAILED && q != MAP_FAILED);
    memcpy(m + 4000, "mapped", 6);
    OK(pread(fd, small, 6, 4000) == 6 && memcmp(small, "mapped", 6) == 0);
    memcpy(q + 4000, "secret", 6);
    OK(pread(fd, small, 6, 4000) == 6 && memcmp(small, "mapped", 6) == 0);
    OK(pwrite(fd, "W", 1, 4001) == 1 && m[4001] == 'W' && q[4001] == 'e');
    munmap(m, 8192);
    munmap(q, 8192);
    OK(unlink("c") == 0 && fstat(fd, &st) == 0 && st.st_nlink == 0);
    OK(pread(fd, small, 4, 100003) == 4 && memcmp(small, "tail", 4) == 0);
    close(fd);
    close(ro);
    close(wo);
    close(p[0]);
    close(p[1]);
}

static void attributes(void)
{
    struct stat st;
    put("m", "x");
    OK(chmod("m", 04640) == 0 && stat("m", &st) == 0 && (st.st_mode & 07777) == 04640);
    OK(chown("m", 10, 20) == 0 && stat("m", &st) == 0 && st.st_uid == 10 && st.st_gid == 20);
    OK((st.st_mode & 07777) == 0640);
    struct timespec ts[2] = {{5, 6}, {7, 8}};
    OK(utimensat(AT_FDCWD, "m", ts, 0) == 0 && stat("m", &st) == 0 && st.st_atim.tv_sec == 5 &&
       st.st_mtim.tv_nsec == 8);
    ts[0].tv_nsec = UTIME_OMIT;
    ts[1].tv_nsec = UTIME_NOW;
    OK(utimensat(AT_FDCWD, "m", ts, 0) == 0 && stat("m", &st) == 0 && st.st_atim.tv_sec == 5 &&
       st.st_mtim.tv_sec > 1000000);
    ts[0].tv_nsec = -5;
    FAILS(utimensat(AT_FDCWD, "m", ts, 0), EINVAL);
    int fd = open("m", O_RDWR);
    ts[0] = (struct timespec){1, 2};
    ts[1] = (struct timespec){3, 4};
    OK(futimens(fd, ts) == 0 && fstat(fd, &st) == 0 && st.st_mtim.tv_sec == 3);
    OK(fchmod(fd, 0600) == 0 && fchown(fd, 0, 0) == 0);
    umask(027);
    close(open("masked", O_CREAT | O_RDWR, 0666));
    OK(stat("masked", &st) == 0 && (st.st_mode & 0777) == 0640 && umask(022) == 027);
    struct statx sx;
    OK(statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &sx) == 0 && sx.stx_size == 1 &&
       sx.stx_mode == (S_IFREG | 0600));
    FAILS(statx(fd, "", 0x80000000, STATX_ALL, &sx), EINVAL);
    struct statfs sf;
    OK(fstatfs(fd, &sf) == 0 && sf.f_type == 0x01021994 && sf.f_bsize == 4096);
    OK(setxattr("m", "trusted.a", "val", 3, 0) == 0 && getxattr("m", "trusted.a", buf, 10) == 3);
    FAILS(setxattr("m", "trusted.a", "v", 1, XATTR_CREATE), EEXIST);
    FAILS(getxattr("m", "trusted.none", buf, 10), ENODATA);
    FAILS(getxattr("m", "trusted.a", buf, 1), ERANGE);
    OK(listxattr("m", buf, 100) == 10 && removexattr("m", "trusted.a") == 0);
    close(fd);
}

static void descriptors(void)
{
    struct stat st;
    put("f", "abc");
    int a = open("f", O_RDWR | O_CLOEXEC), b = dup(a);
    OK(fcntl(a, F_GETFD) == FD_CLOEXEC && fcntl(b, F_GETFD) == 0);
    OK(read(a, buf, 1) == 1 && lseek(b, 0, SEEK_CUR) == 1);
    OK(dup2(a, 77) == 77 && dup2(77, 77) == 77 && fcntl(77, F_GETFD) == 0);
    FAILS(dup2(a, -1), EBADF);
    FAILS(dup3(a, a, 0), EINVAL);
    OK(dup3(a, 78, O_CLOEXEC) == 78 && fcntl(78, F_GETFD) == FD_CLOEXEC);
    OK(fcntl(a, F_DUPFD, 100) == 100 && fcntl(a, F_DUPFD_CLOEXEC, 100) == 101);
    FAILS(fcntl(a, F_DUPFD, 1 << 30), EINVAL);
    OK(fcntl(a, F_SETFL, O_APPEND | O_NONBLOCK) == 0 &&
       (fcntl(b, F_GETFL) & (O_APPEND | O_NONBLOCK | O_ACCMODE)) ==
           (O_APPEND | O_NONBLOCK | O_RDWR));
    OK(syscall(SYS_close_range, 77, 101, 0) == 0 && fcntl(100, F_GETFD) == -1);
    FAILS(close(77), EBADF);
    int on = 1, n;
    OK(ioctl(a, FIOCLEX) == 0 && ioctl(b, FIOCLEX) == 0 && fcntl(b, F_GETFD) == FD_CLOEXEC);
    OK(ioctl(a, FIONREAD, &n) == 0 && n == 2 && ioctl(a, FIONBIO, &on) == 0);
    FAILS(ioctl(a, 0x12345678, 0), ENOTTY);
    int o = open("f", O_PATH);
    FAILS(read(o, buf, 1), EBADF);
    FAILS(fchmod(o, 0600), EBADF);
    OK(fstat(o, &st) == 0 && st.st_size == 3 && fcntl(o, F_GETFL) == O_PATH);
    char name[64], target[PATH_MAX + 16];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", a);
    ssize_t len = readlink(name, target, sizeof(target) - 1);
    target[len > 0 ? len : 0] = '\0';
    snprintf(buf, sizeof(buf), "%s/f", dir);
    OK(strcmp(target, buf) == 0);
    int again = open(name, O_RDONLY);
    OK(again >= 0 && read(again, buf, 3) == 3);
    unlink("f");
    len = readlink(name, target, sizeof(target) - 1);
    OK(len > 10 && memcmp(target + len - 10, " (deleted)", 10) == 0);
    OK(open("/proc/self/fd/9999", O_RDONLY) == -1 && errno == ENOENT);
    int t = open(".", O_TMPFILE | O_RDWR, 0600);
    OK(t >= 0 && write(t, "tmp", 3) == 3);
    snprintf(name, sizeof(name), "/proc/self/fd/%d", t);
    OK(linkat(AT_FDCWD, name, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0 && holds("named", "tmp"));
    FAILS(open(".", O_TMPFILE | O_RDONLY), EINVAL);
    close(a);
    close(b);
    close(o);
    close(again);
    close(t);
}

static void moving_data(void)
{
    static char big[300000], back[300000];
    for (size_t k = 0; k < sizeof(big); k++)
        big[k] = (char)random64();
    int in = open("in", O_CREAT | O_RDWR | O_TRUNC, 0600),
        out = open("out", O_CREAT | O_RDWR, 0600);
    MUST(write(in, big, sizeof(big)) == sizeof(big));
    off_t off = 1000;
    OK(sendfile(out, in, &off, 200000) == 200000 && off == 201000);
    OK(pread(out, back, 200000, 0) == 200000 && memcmp(back, big + 1000, 200000) == 0);
    off = 299990;
    OK(sendfile(out, in, &off, 100) == 10);
    OK(sendfile(out, in, &off, 100) == 0);
    FAILS(sendfile(out, 999, NULL, 1), EBADF);
    int sv[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    OK(lseek(in, 0, SEEK_SET) == 0 && sendfile(sv[0], in, NULL, 50000) == 50000);
    OK(recv(sv[1], back, 50000, MSG_WAITALL) == 50000 && memcmp(back, big, 50000) == 0);
    OK(lseek(in, 0, SEEK_CUR) == 50000);
    FAILS(sendfile(out, sv[1], NULL, 1), EINVAL);
    int p[2], q[2];
    MUST(pipe(p) == 0 && pipe(q) == 0);
    loff_t pos = 5;
    OK(splice(in, &pos, p[1], NULL, 30000, 0) == 30000 && pos == 30005);
    OK(tee(p[0], q[1], 10000, 0) > 0);
    OK(splice(p[0], NULL, out, &(loff_t){0}, 30000, 0) == 30000);
    OK(pread(out, back, 30000, 0) == 30000 && memcmp(back, big + 5, 30000) == 0);
    OK(read(q[0], back, 4096) == 4096 && memcmp(back, big + 5, 4096) == 0);
    FAILS(splice(in, NULL, out, NULL, 10, 0), EINVAL);
    FAILS(splice(p[0], &pos, out, NULL, 10, 0), ESPIPE);
    struct iovec v = {big, 5000};
    OK(vmsplice(p[1], &v, 1, 0) == 5000 && read(p[0], back, 5000) == 5000 &&
       memcmp(back, big, 5000) == 0);
    loff_t from = 100, to = 7;
    OK(copy_file_range(in, &from, out, &to, 123456, 0) == 123456 && from == 123556);
    OK(pread(out, back, 123456, 7) == 123456 && memcmp(back, big + 100, 123456) == 0);
    FAILS(copy_file_range(in, &(loff_t){0}, in, &(loff_t){10}, 100, 0), EINVAL);
    OK(fsync(out) == 0 && fdatasync(out) == 0 && syncfs(out) == 0);
    FAILS(fsync(p[0]), EINVAL);
    OK(posix_fadvise(in, 0, 0, POSIX_FADV_SEQUENTIAL) == 0 &&
       posix_fadvise(p[0], 0, 0, 0) == ESPIPE);
    close(in), close(out), close(p[0]), close(p[1]), close(q[0]), close(q[1]);
    close(sv[0]), close(sv[1]);
}

static void seals_and_locks(void)
{
    int fd = memfd_create("m", MFD_ALLOW_SEALING);
    OK(fd >= 0 && ftruncate(fd, 4096) == 0 && fcntl(fd, F_GET_SEALS) == 0);
    char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    munmap(m, 4096);
    OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK) == 0);
    FAILS(write(fd, "x", 1), EPERM);
    FAILS(ftruncate(fd, 0), EPERM);
    FAILS(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
    OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL) == 0);
    FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    close(fd);
    fd = memfd_create("plain", 0);
    OK(fcntl(fd, F_GET_SEALS) == F_SEAL_SEAL);
    close(fd);
    put("lock", "x");
    int a = open("lock", O_RDWR), b = open("lock", O_RDWR);
    OK(flock(a, LOCK_EX) == 0);
    FAILS(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    OK(flock(a, LOCK_UN) == 0 && flock(b, LOCK_EX | LOCK_NB) == 0);
    struct flock w = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
    OK(fcntl(a, F_OFD_SETLK, &w) == 0);
    FAILS(fcntl(b, F_OFD_SETLK, &w), EAGAIN);
    FAILS(fcntl(b, F_SETLK, &w), EAGAIN);
    struct flock g = w;
    OK(fcntl(b, F_OFD_GETLK, &g) == 0 && g.l_type == F_WRLCK && g.l_pid == -1);
    close(a);
    OK(fcntl(b, F_SETLK, &w) == 0);
    g = w;
    OK(fcntl(b, F_GETLK, &g) == 0 && g.l_type == F_UNLCK);
    close(b);
}

static void directories(void)
{
    MUST(mkdir("many", 0755) == 0 && chdir("many") == 0);
    char name[300];
    for (int k = 0; k < 1000; k++) {
        snprintf(name, sizeof(name), "file-with-a-rather-long-name-%04d", k);
        close(open(name, O_CREAT | O_WRONLY, 0644));
    }
    DIR *d = opendir(".");
    int seen = 0, dots = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.') {
            dots++;
            MUST(e->d_type == DT_DIR);
        } else {
            seen++;
            MUST(e->d_type == DT_REG && e->d_ino != 0);
            MUST(unlink(e->d_name) == 0); /* as rm -r does */
        }
    }
    OK(seen == 1000 && dots == 2);
    rewinddir(d);
    seen = 0;
    while (readdir(d) != NULL)
        seen++;
    OK(seen == 2);
    closedir(d);
    MUST(chdir("..") == 0);
    int fd = open("many", O_RDONLY);
    FAILS(syscall(SYS_getdents64, fd, buf, 10), EINVAL);
    FAILS(read(fd, buf, 10), EISDIR);
    OK(rmdir("many") == 0);
    FAILS(syscall(SYS_getdents64, fd, buf, 1000), ENOENT);
    FAILS(openat(fd, "x", O_CREAT | O_WRONLY, 0600), ENOENT);
    close(fd);
    put("notdir", "");
    fd = open("notdir", O_RDONLY);
    FAILS(syscall(SYS_getdents64, fd, buf, 1000), ENOTDIR);
    close(fd);
}

static void *sleeper(void *arg)
{
    pause();
    return NULL;
}

static void proc_and_dev(void)
{
    struct stat st;
    char exe[PATH_MAX] = "", text[64];
    OK(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0 && exe[0] == '/');
    OK(stat("/proc/self/exe", &st) == 0 && S_ISREG(st.st_mode));
    snprintf(text, sizeof(text), "\nPid:\t%d\n", getpid());
    OK(strstr(get("/proc/self/status"), text) != NULL);
    OK(strstr(get("/proc/self/status"), "\nVmRSS:\t") != NULL);
    int pid, fields;
    char comm[64], state;
    OK(sscanf(get("/proc/self/stat"), "%d (%63[^)]) %c", &pid, comm, &state) == 3 &&
       pid == getpid() && state == 'R');
    fields = 1;
    for (const char *c = strrchr(buf, ')'); *c != '\0'; c++)
        fields += *c == ' ';
    OK(fields == 51); /* and the comm before it */
    unsigned long size, rss;
    OK(sscanf(get("/proc/self/statm"), "%lu %lu", &size, &rss) == 2 && size >= rss && rss > 0);
    OK(strstr(get("/proc/self/maps"), "[stack]") != NULL && strstr(buf, exe) != NULL);
    OK(strstr(get("/proc/self/smaps"), "Private_Dirty:") != NULL);
    OK(strstr(get("/proc/self/limits"), "Max open files") != NULL);
    OK(strlen(get("/proc/self/cmdline")) > 0);
    OK(strstr(get("/proc/self/mountinfo"), " /proc ") != NULL);
    OK(strstr(get("/proc/mounts"), " /proc proc ") != NULL);
    OK(strstr(get("/proc/meminfo"), "MemTotal:") == buf);
    OK(strstr(get("/proc/cpuinfo"), "processor\t: 0") == buf);
    OK(strncmp(get("/proc/stat"), "cpu  ", 5) == 0);
    double up, idle;
    OK(sscanf(get("/proc/uptime"), "%lf %lf", &up, &idle) == 2 && up > 0);
    OK(strlen(get("/proc/sys/kernel/random/uuid")) == 37);
    OK(atoi(get("/proc/sys/fs/nr_open")) == 1048576);
    OK(get("/sys/devices/system/cpu/online")[0] == '0');
    pthread_t t;
    MUST(pthread_create(&t, NULL, sleeper, NULL) == 0);
    int threads = 0, named = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        threads++;
        snprintf(buf + 1000, 300, "/proc/self/task/%s/comm", e->d_name);
        if (atoi(e->d_name) != getpid()) {
            put(buf + 1000, "worker");
            named = holds(buf + 1000, "worker\n");
        }
    }
    closedir(d);
    OK(threads == 2 && named);
    snprintf(text, sizeof(text), "/proc/%d/task/%d/stat", getpid(), getpid());
    OK(access(text, R_OK) == 0);
    FAILS(open("/proc/nothing", O_RDONLY), ENOENT);
    FAILS(open("/proc/nothing", O_CREAT | O_WRONLY, 0600), ENOENT);
    FAILS(open("/proc/99999999", O_RDONLY), ENOENT);
    FAILS(mkdir("/proc/x", 0755), ENOENT);
    int fd = open("/proc/uptime", O_RDONLY);
    OK(read(fd, text, 2) == 2 && pread(fd, buf, 2, 0) == 2 && text[0] == buf[0]);
    OK(fstat(fd, &st) == 0 && st.st_size == 0 && S_ISREG(st.st_mode));
    close(fd);

    fd = open("/dev/null", O_RDWR);
    OK(write(fd, "xxxxx", 5) == 5 && read(fd, buf, 5) == 0 && lseek(fd, 10, SEEK_SET) == 0);
    OK(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0x103);
    close(fd);
    fd = open("/dev/zero", O_RDWR);
    memset(buf, 1, 10);
    OK(read(fd, buf, 10) == 10 && buf[9] == 0);
    char *z = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    OK(z != MAP_FAILED && z[5000] == 0 && (z[5000] = 1));
    close(fd);
    fd = open("/dev/full", O_RDWR);
    FAILS(write(fd, "x", 1), ENOSPC);
    close(fd);
    fd = open("/dev/urandom", O_RDONLY);
    memset(buf, 0, 32);
    OK(read(fd, buf, 32) == 32 && memcmp(buf, buf + 16, 16) != 0);
    close(fd);
    fd = open("/dev/shm/x", O_CREAT | O_RDWR, 0600);
    OK(fd >= 0 && ftruncate(fd, 4096) == 0 && unlink("/dev/shm/x") == 0);
    close(fd);
}

static void permissions(void)
{
    MUST(mkdir("private", 0700) == 0);
    put("private/f", "x");
    put("public", "x");
    MUST(chmod(".", 0755) == 0);
    MUST(mkdir("sticky", 0700) == 0 && chmod("sticky", 01777) == 0);
    put("sticky/roots", "x");
    MUST(setegid(1000) == 0 && seteuid(1000) == 0);
    FAILS(open("private/f", O_RDONLY), EACCES);
    FAILS(open("public", O_WRONLY), EACCES);
    FAILS(open("new", O_CREAT | O_WRONLY, 0600), EACCES);
    FAILS(unlink("public"), EACCES);
    FAILS(unlink("sticky/roots"), EPERM);
    FAILS(chmod("public", 0777), EPERM);
    FAILS(chown("public", 1000, -1), EPERM);
    OK(access("public", W_OK) == 0); /* asks for the real user, still root */
    FAILS(faccessat(AT_FDCWD, "public", W_OK, AT_EACCESS), EACCES);
    OK(holds("public", "x"));
    int fd = open("sticky/mine", O_CREAT | O_RDWR, 0600);
    struct stat st;
    OK(fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == 1000 && st.st_gid == 1000);
    close(fd);
    MUST(seteuid(0) == 0 && setegid(0) == 0);
    OK(unlink("sticky/mine") == 0);
}

int main(int argc, char **argv)
{
    snprintf(dir, sizeof(dir), "%s/files-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    MUST(mkdtemp(dir) != NULL && chdir(dir) == 0);
    paths();
    contents();
    attributes();
    descriptors();
    moving_data();
    seals_and_locks();
    directories();
    proc_and_dev();
    permissions();
    int left = chdir("/");
    (void)left;
    return tap_done();
}
