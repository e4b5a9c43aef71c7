/*
 * The machine's names, as uname(2) and /proc/sys/kernel show and change them.
 */
#pragma once

#include <linux/utsname.h>

extern struct new_utsname uts;
