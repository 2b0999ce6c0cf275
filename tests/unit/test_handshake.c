/* The messages between the processes of a cell. */
#include "tests/unit/unit.h"

#include <sys/socket.h>
#include <unistd.h>

#include "runtime/native/handshake.h"

/* A peer that has ended without having read everything: what it has said is there all the same. */
static void test_last_words(void **state)
{
    struct message message = {0};
    int ends[2], fd;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_true(handshake_send(ends[0], MESSAGE_SIGNAL, 2, -1));
    assert_true(handshake_send(ends[1], MESSAGE_EXITED, 7, -1));
    close(ends[1]);
    assert_int_equal(handshake_receive(ends[0], &message, sizeof(message), 0, &fd),
                     sizeof(message));
    assert_int_equal(message.kind, MESSAGE_EXITED);
    assert_int_equal(message.value, 7);
    assert_int_equal(handshake_receive(ends[0], &message, sizeof(message), 0, &fd), 0);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_last_words)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
