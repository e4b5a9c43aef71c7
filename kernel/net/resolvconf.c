/*
 * What Linux programs see of the network's configuration beside the interfaces: the machine's name
 * and /etc/resolv.conf. Called by net/ifconfig.c at the end of the boot, when the root file system
 * is there.
 */
#include "net/ifconfig.h"

#include "fs/vfs.h"
#include "linux/uts.h"

const char *ifconfig_name(const char *given)
{
    if (given[0] != '\0')
        strlcpy(uts.nodename, given, sizeof(uts.nodename));
    return uts.nodename;
}

/* Writes /etc/resolv.conf if the root file system has none. */
void ifconfig_done(const ip_addr_t *dns, unsigned count)
{
    char text[IFCONFIG_MAX_DNS * (IPADDR_STRLEN_MAX + 16)], a[IPADDR_STRLEN_MAX];
    struct file *f;
    size_t n = 0;

    for (unsigned i = 0; i < count; i++) {
        if (ip_addr_isany(&dns[i]))
            continue;
        ipaddr_ntoa_r(&dns[i], a, sizeof(a));
        n += (size_t)ksnprintf(text + n, sizeof(text) - n, "nameserver %s\n", a);
    }
    if (n == 0)
        return;
    vfs_mkdir(AT_FDCWD, "/etc", 0755); /* or it is there */
    if (vfs_open(AT_FDCWD, "/etc/resolv.conf", O_WRONLY | O_CREAT | O_EXCL, 0644, &f) < 0)
        return;
    if (file_write_at(f, text, n, 0) != (ssize_t)n)
        kprintf("net: /etc/resolv.conf: no memory\n");
    file_put(f);
}
