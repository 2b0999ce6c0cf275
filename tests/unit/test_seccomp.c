#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "runtime/confine/caps.h"
#include "runtime/confine/seccomp_default.h"
#include "runtime/confine/seccomp_profile.h"

#define SYS_ADMIN (UINT64_C(1) << 21)

/* What the kernel's interpreter makes of one call: the few instructions that filters consist of. */
static uint32_t decide(const struct seccomp_filter *filter, const struct seccomp_data *data)
{
    uint32_t a = 0;

    for (size_t pc = 0; pc < filter->count; pc++) {
        const struct sock_filter *code = &filter->code[pc];
        bool jump = false;

        switch (code->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(code->k + 4 <= sizeof(*data));
            memcpy(&a, (const char *)data + code->k, 4);
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= code->k;
            continue;
        case BPF_JMP | BPF_JA:
            pc += code->k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:
            jump = a == code->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            jump = a > code->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            jump = a >= code->k;
            break;
        case BPF_RET | BPF_K:
            return code->k;
        default:
            fail_msg("instruction 0x%x", code->code);
        }
        pc += jump ? code->jt : code->jf;
    }
    fail_msg("the filter has no end");
    return 0;
}

#ifdef __x86_64__
#define NATIVE 0xc000003eU
#define OTHER  0x40000003U /* i386 */
#else
#define NATIVE 0xc00000b7U
#define OTHER  0x40000028U /* arm */
#endif
#define ALLOW    SECCOMP_RET_ALLOW
#define ERROR(n) (SECCOMP_RET_ERRNO | (n))

static uint32_t call(const struct seccomp_filter *filter, uint32_t arch, long number,
                     uint64_t first)
{
    struct seccomp_data data = {.nr = (int)number, .arch = arch, .args = {first}};

    return decide(filter, &data);
}

static void default_filter_follows_docker(void **state)
{
    static const struct {
        long number;
        uint64_t first;
        uint32_t expected;
    } cases[] = {
        {SYS_read, 0, ALLOW},
        {SYS_execve, 0, ALLOW},
        {SYS_ptrace, 0, ALLOW},
        {SYS_chroot, 0, ALLOW},
        {SYS_mount, 0, ERROR(EPERM)},
        {SYS_unshare, 0, ERROR(EPERM)},
        {SYS_keyctl, 0, ERROR(EPERM)},
        {SYS_reboot, 0, ERROR(EPERM)},
        {SYS_clone, 0x11, ALLOW},
        {SYS_clone, 0x10000000, ERROR(EPERM)},
        {SYS_clone3, 0, ERROR(ENOSYS)},
        {SYS_personality, 0, ALLOW},
        {SYS_personality, 0x20008, ALLOW},
        {SYS_personality, 0x40000, ERROR(EPERM)},
        {SYS_socket, 1, ALLOW},
        {SYS_socket, 37, ALLOW},
        {SYS_socket, 38, ERROR(EPERM)},
        {SYS_socket, 39, ALLOW},
        {SYS_socket, 40, ERROR(EPERM)},
        {SYS_socket, 41, ALLOW},
        {SYS_socket, 47, ALLOW},
        {SYS_socket, 48, ERROR(EPERM)},
        {SYS_socket, 0x100000026, ERROR(EPERM)},
        {462, 0, ALLOW}, /* mseal: newer than libseccomp */
        {466, 0, ALLOW},
        {467, 0, ERROR(ENOSYS)},
        {100000, 0, ERROR(ENOSYS)},
    };
    struct seccomp_filter native = seccomp_default(false), both = seccomp_default(true);

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (call(&native, NATIVE, cases[i].number, cases[i].first) != cases[i].expected)
            fail_msg("call %ld (%llu): 0x%x", cases[i].number, (unsigned long long)cases[i].first,
                     call(&native, NATIVE, cases[i].number, cases[i].first));
        assert_int_equal(call(&both, NATIVE, cases[i].number, cases[i].first), cases[i].expected);
    }
    assert_int_equal(call(&native, OTHER, 3, 0), ERROR(ENOSYS));
    assert_int_equal(call(&both, OTHER, 3, 0), ALLOW);
    assert_int_equal(call(&both, OTHER, 100000, 0), ERROR(ENOSYS));
    assert_int_equal(call(&native, NATIVE, 0x40000000, 0), ERROR(ENOSYS));
}

static bool compile(const char *text, uint64_t caps, struct seccomp_filter *filter, struct err *err)
{
    autojson *profile = json_parse(text, strlen(text), "profile", ERR_CONFIG_INVALID, err);

    return profile && seccomp_profile_compile(profile, "profile", caps, true, filter, err);
}

#define ALLOWING(rule) "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[" rule "]}"
#define DENYING(rule)  "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[" rule "]}"
#define RULE(name, action, more)                                                                   \
    "{\"names\":[\"" name "\"],\"action\":\"SCMP_ACT_" action "\"" more "}"

static const struct {
    const char *text;
    uint64_t caps;
    long number;
    uint64_t first;
    uint32_t expected;
} accepted[] = {
    {ALLOWING(""), 0, SYS_reboot, 0, ALLOW},
    {"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":13}", 0, SYS_read, 0, ERROR(13)},
    {"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":13,\"defaultErrno\":\"ENOSYS\"}", 0,
     SYS_read, 0, ERROR(ENOSYS)},
    {"{\"defaultAction\":\"SCMP_ACT_KILL_PROCESS\"}", 0, SYS_read, 0, SECCOMP_RET_KILL_PROCESS},
    {"{\"defaultAction\":\"SCMP_ACT_KILL\"}", 0, SYS_read, 0, SECCOMP_RET_KILL_THREAD},
    {"{\"defaultAction\":\"SCMP_ACT_LOG\",\"syscalls\":null}", 0, SYS_read, 0, SECCOMP_RET_LOG},
    {DENYING(RULE("read", "ALLOW", "")), 0, SYS_read, 0, ALLOW},
    {DENYING(RULE("read", "ALLOW", "")), 0, SYS_write, 0, ERROR(ENOSYS)}, /* above the newest */
    {DENYING(RULE("write", "ALLOW", "")), 0, SYS_read, 0, ERROR(EPERM)},
    {DENYING(RULE("read", "TRAP", "")), 0, SYS_read, 0, SECCOMP_RET_TRAP},
    {DENYING(RULE("read", "ERRNO", ",\"errnoRet\":5")), 0, SYS_read, 0, ERROR(5)},
    {DENYING("{\"name\":\"read\",\"action\":\"SCMP_ACT_ALLOW\",\"args\":null,\"comment\":\"\"}"), 0,
     SYS_read, 0, ALLOW},
    {DENYING(RULE("read", "ALLOW", ",\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}")), 0, SYS_read, 0,
     ERROR(EPERM)},
    {DENYING(RULE("read", "ALLOW", ",\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}")), SYS_ADMIN,
     SYS_read, 0, ALLOW},
    {DENYING(RULE("read", "ALLOW", ",\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}")), SYS_ADMIN,
     SYS_read, 0, ERROR(EPERM)},
    {DENYING(RULE("read", "ALLOW", ",\"includes\":{\"minKernel\":\"4.8\"}")), 0, SYS_read, 0,
     ALLOW},
    {DENYING(RULE("read", "ALLOW", ",\"includes\":{\"minKernel\":\"99.0\"}")), 0, SYS_read, 0,
     ERROR(EPERM)},
    {DENYING(RULE("read", "ALLOW", ",\"includes\":{\"arches\":[\"s390x\"]}")), 0, SYS_read, 0,
     ERROR(EPERM)},
    {DENYING(RULE("read", "ALLOW", ",\"includes\":{\"arches\":[\"amd64\",\"arm64\"]}")), 0,
     SYS_read, 0, ALLOW},
    {DENYING(RULE("read", "ALLOW",
                  ",\"args\":[{\"index\":0,\"value\":7,\"op\":\"SCMP_CMP_MASKED_EQ\"}]")),
     0, SYS_read, 8, ALLOW},
    {DENYING(RULE("read", "ALLOW",
                  ",\"args\":[{\"index\":0,\"value\":7,\"op\":\"SCMP_CMP_MASKED_EQ\"}]")),
     0, SYS_read, 1, ERROR(EPERM)},
    /* Twice the same argument: either. */
    {DENYING(RULE("read", "ALLOW",
                  ",\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},"
                  "{\"index\":0,\"value\":2,\"op\":\"SCMP_CMP_EQ\"}]")),
     0, SYS_read, 2, ALLOW},
    /* Unknown names are passed over where they would allow. */
    {DENYING(RULE("nobody_knows", "ALLOW", "")), 0, SYS_read, 0, ERROR(EPERM)},
};

static void profiles_mean_what_they_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(accepted); i++) {
        struct seccomp_filter filter;
        struct err err;
        uint32_t found;

        if (!compile(accepted[i].text, accepted[i].caps, &filter, &err))
            fail_msg("%s: %s", accepted[i].text, err.message);
        found = call(&filter, NATIVE, accepted[i].number, accepted[i].first);
        if (found != accepted[i].expected)
            fail_msg("%s: 0x%x", accepted[i].text, found);
        free((void *)filter.code);
    }
}

#define SUB_ARCHITECTURES_AS_TEXT                                                                  \
    "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\","   \
    "\"subArchitectures\":\"SCMP_ARCH_X86\"}]}"

static const char *const refused[] = {
    "[]",
    "{}",
    "{\"defaultAction\":7}",
    "{\"defaultAction\":\"ALLOW\"}",
    "{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}",
    "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":5000}",
    "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":-1}",
    "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrno\":\"EWHAT\"}",
    "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscals\":[]}",
    "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":{}}",
    "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"]}",
    "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_S390X\"]}",
    "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"archMap\":[{\"arch\":\"x\"}]}",
    ALLOWING("7"),
    ALLOWING("{\"action\":\"SCMP_ACT_ALLOW\"}"),
    ALLOWING("{\"names\":\"read\",\"action\":\"SCMP_ACT_ERRNO\"}"),
    ALLOWING("{\"names\":[7],\"action\":\"SCMP_ACT_ERRNO\"}"),
    ALLOWING("{\"names\":[\"read\"]}"),
    ALLOWING(RULE("reed", "ERRNO", "")),
    ALLOWING(RULE("read", "ERRNO", ",\"arg\":[]")),
    ALLOWING(RULE("read", "ERRNO", ",\"args\":7")),
    ALLOWING(RULE("read", "ERRNO", ",\"args\":[{\"index\":6,\"value\":0,\"op\":\"SCMP_CMP_EQ\"}]")),
    ALLOWING(RULE("read", "ERRNO", ",\"args\":[{\"index\":0,\"value\":0,\"op\":\"EQ\"}]")),
    ALLOWING(RULE("read", "ERRNO", ",\"args\":[{\"index\":0,\"op\":\"SCMP_CMP_EQ\"}]")),
    ALLOWING(RULE("read", "ERRNO", ",\"includes\":{\"cap\":[]}")),
    ALLOWING(RULE("read", "ERRNO", ",\"includes\":{\"caps\":[\"SYS_ADMIN_\"]}")),
    ALLOWING(RULE("read", "ERRNO", ",\"includes\":{\"caps\":7}")),
    ALLOWING(RULE("read", "ERRNO", ",\"includes\":{\"minKernel\":\"6\"}")),
    ALLOWING(RULE("read", "ERRNO", ",\"excludes\":{\"minKernel\":6.1}")),
    ALLOWING(RULE("read", "ERRNO", ",\"excludes\":{\"minKernel\":\"6.1x\"}")),
    ALLOWING(RULE(
        "read", "LOG",
        ",\"args\":[{\"index\":1,\"value\":7,\"op\":\"SCMP_CMP_EQ\"}]") "," RULE("read", "KILL",
                                                                                 ",\"args\":[{"
                                                                                 "\"index\":1,"
                                                                                 "\"value\":7,"
                                                                                 "\"op\":\"SCMP_"
                                                                                 "CMP_EQ\"}]")),
    "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":\"SECCOMP_FILTER_FLAG_LOG\"}",
    "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":{}}",
    SUB_ARCHITECTURES_AS_TEXT,
};

static void faulty_profiles_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct seccomp_filter filter;
        struct err err;

        if (compile(refused[i], 0, &filter, &err))
            fail_msg("%s was accepted", refused[i]);
        assert_int_equal(err.code, ERR_CONFIG_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_filter_follows_docker),
        cmocka_unit_test(profiles_mean_what_they_say),
        cmocka_unit_test(faulty_profiles_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
