/*
 * WORD...: becomes PROGRAM with these words, and with the OPTIONS of the engine under test behind `run`,
 * `start` and `shell`; for a cluster in its NETWORK, with its CONFIG. A program, since a shell would need
 * descriptors, signals and time of its own, which tests measure.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Given by engine.bash and kubernetes.bash. */
static char *const options[] = {OPTIONS};
static char program[] = PROGRAM;

static bool makes_cells(const char *word)
{
    return strcmp(word, "run") == 0 || strcmp(word, "start") == 0 || strcmp(word, "shell") == 0;
}

#ifdef NETWORK
static bool go_there(void)
{
    int fd = open(NETWORK, O_RDONLY | O_CLOEXEC);

    return fd >= 0 && setns(fd, CLONE_NEWNET) == 0 && close(fd) == 0 &&
           setenv("KUBECONFIG", CONFIG, 0) == 0;
}
#else
static bool go_there(void)
{
    return true;
}
#endif

int main(int argc, char **argv)
{
    size_t count = sizeof(options) / sizeof(options[0]);
    char **words = calloc((size_t)argc + count + 1, sizeof(*words));
    int at = 0, from = 1;

    if (!words || !go_there())
        return 125;
    words[at++] = program;
    if (argc > 1 && makes_cells(argv[1])) {
        words[at++] = argv[1];
        for (size_t i = 0; i < count; i++)
            words[at++] = options[i];
        from = 2;
    }
    while (from < argc)
        words[at++] = argv[from++];
    execv(program, words);
    return 125;
}
