/*
 * Advisory file locks: flock(2), and byte ranges of fcntl(2) owned by the process or by an
 * open file description (OFD). With one process, its own ranges never conflict with each
 * other, only with OFD ones. Waiting may sleep; releasing does not.
 */
#pragma once

#include "fs/file.h"

struct flock;

/* op: LOCK_SH, LOCK_EX or LOCK_UN, with LOCK_NB. 0, -EWOULDBLOCK, -EINVAL, -ENOMEM, -ERESTARTSYS.
 */
int locks_flock(struct file *f, int op);
/* F_SETLK, F_SETLKW, F_GETLK and the F_OFD_ ones. fl is kernel memory; F_GETLK answers in it. */
int locks_fcntl(struct file *f, unsigned cmd, struct flock *fl);
/* The description goes: its flock and its OFD ranges. */
void locks_release_file(struct file *f);
/* A descriptor of the inode is closed: the process's ranges on it go (POSIX says so). */
void locks_release_process(struct inode *inode);
/* The inode goes. */
void locks_free(struct inode *inode);
