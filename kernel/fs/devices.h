/*
 * The character devices that are always there.
 */
#pragma once

/* Makes them known; once, at boot. */
void devices_register(void);
/* Fills the mounted /dev: 0 or -errno. */
int devices_populate(void);
