/* Hides the AES, PMULL and SHA instructions of an emulated 64-bit ARM processor, so that programs take
 * the paths that they take on a Raspberry Pi 4 and older. Preloaded by scripts/cross-test. */
#define _GNU_SOURCE
#include <dlfcn.h>

#define AT_HWCAP 16
#define HWCAP_AES (1UL << 3)
#define HWCAP_PMULL (1UL << 4)
#define HWCAP_SHA1 (1UL << 5)
#define HWCAP_SHA2 (1UL << 6)

unsigned long getauxval(unsigned long type) {
    unsigned long (*real)(unsigned long) = (unsigned long (*)(unsigned long))dlsym(RTLD_NEXT, "getauxval");
    unsigned long value = real(type);
    return type == AT_HWCAP ? value & ~(HWCAP_AES | HWCAP_PMULL | HWCAP_SHA1 | HWCAP_SHA2) : value;
}
