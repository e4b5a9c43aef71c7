/* <sys/socket.h> for UAPI headers that ask for it (<linux/if.h>). */
#pragma once

#include "net/sockdefs.h"
