/* See etc_files.h. */
#define _GNU_SOURCE
#include "etc_files.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_ID_MAX 999 /* Debian policy §9.2.2: people's accounts start at 1000 */
#define NOBODY_ID     65534

void skeleton_add(struct tree *t)
{
    static const struct {
        const char *path;
        mode_t perm;
    } dirs[] = {
        {"/dev", 0755},      {"/etc", 0755},       {"/proc", 0555},    {"/root", 0700},
        {"/run", 0755},      {"/sys", 0555},       {"/tmp", 01777},    {"/usr", 0755},
        {"/var", 0755},      {"/var/cache", 0755}, {"/var/lib", 0755}, {"/var/log", 0755},
        {"/var/tmp", 01777},
    };
    static const char *const merged[] = {"/bin", "/sbin", "/lib", "/lib64"};
    char target[64];

    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        tree_dir(t, dirs[i].path, dirs[i].perm);
    tree_link(t, "/var/run", "/run");
    for (size_t i = 0; i < ARRAY_LEN(merged); i++) {
        ssize_t n = readlink(merged[i], target, sizeof(target) - 1);
        if (n <= 0)
            continue;
        target[n] = '\0';
        tree_link(t, merged[i], target);
        char *dir = path_join("/", target);
        if (!tree_lookup(t, dir, true))
            tree_dir(t, dir, 0755);
        free(dir);
    }
}

/* The lines of a passwd(5) or group(5) file for the system's accounts (packages make theirs for
 * their servers); the people of the host stay out. */
static char *system_accounts(const char *path, const char *fallback)
{
    char *all = read_text(path), *save = NULL;
    struct strbuf b = {0};

    for (char *line = all ? strtok_r(all, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        const char *p = strchr(line, ':');
        p = p ? strchr(p + 1, ':') : NULL; /* the third field is the id in both files */
        char *end;
        unsigned long id = p ? strtoul(p + 1, &end, 10) : 0;
        if (p && *end == ':' && (id <= SYSTEM_ID_MAX || id == NOBODY_ID))
            sb_addf(&b, "%s\n", line);
    }
    free(all);
    if (!b.s || strncmp(b.s, "root:", 5) != 0) {
        free(b.s);
        return xstrdup(fallback);
    }
    return b.s;
}

static void add_missing(struct tree *t, const char *path, const char *text)
{
    if (!tree_lookup(t, path, false))
        tree_file(t, path, 0644, text);
}

void etc_files_add(struct tree *t, const struct netspec *net)
{
    char *text;

    text = system_accounts("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
                                          "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
                                          "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n");
    add_missing(t, "/etc/passwd", text);
    free(text);
    text = system_accounts("/etc/group", "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n");
    add_missing(t, "/etc/group", text);
    free(text);
    add_missing(t, "/etc/hosts",
                "127.0.0.1 localhost\n"
                "::1 localhost ip6-localhost ip6-loopback\n");
    add_missing(t, "/etc/nsswitch.conf",
                "passwd: files\ngroup: files\nshadow: files\n"
                "hosts: files dns\nnetworks: files\nprotocols: files\n"
                "services: files\n");
    if (net->dns[0]) {
        text = xasprintf("nameserver %s\n", net->dns);
        add_missing(t, "/etc/resolv.conf", text);
        free(text);
    }
}
