#include "runtime/confine/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAPS_MAX 64

bool caps_bound(uint64_t keep)
{
    for (unsigned long cap = 0; cap < CAPS_MAX; cap++) {
        int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

        /* The kernel's last capability is where EINVAL begins. */
        if (has < 0)
            return errno == EINVAL;
        /* Dropping wants a privilege even where there is nothing to drop. */
        if (has && !(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return false;
    }
    return true;
}

bool caps_set(uint64_t caps)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)caps, .permitted = (uint32_t)caps},
        {.effective = (uint32_t)(caps >> 32), .permitted = (uint32_t)(caps >> 32)},
    };

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return false;
    return syscall(SYS_capset, &header, data) == 0;
}

bool caps_keep(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) < 0)
        return false;
    for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++)
        data[i].inheritable = data[i].permitted;
    if (syscall(SYS_capset, &header, data) < 0)
        return false;
    for (unsigned long cap = 0; cap < CAPS_MAX; cap++) {
        if ((data[cap / 32].permitted >> cap % 32 & 1) &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return false;
    }
    return true;
}
