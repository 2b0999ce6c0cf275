/*
 * WORD...: becomes PROGRAM with these words, and with the options of the engine under test behind `run`,
 * `start` and `shell`. A program, since a shell would need descriptors, signals and time of
 * its own, which tests measure.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Given by engine.bash. */
static char engine[] = ENGINE, host[] = ENGINE_HOST, program[] = PROGRAM;

static bool makes_cells(const char *word)
{
    return strcmp(word, "run") == 0 || strcmp(word, "start") == 0 || strcmp(word, "shell") == 0;
}

int main(int argc, char **argv)
{
    char **words = calloc((size_t)argc + 5, sizeof(*words));
    int at = 0, from = 1;

    if (!words)
        return 125;
    words[at++] = program;
    if (argc > 1 && makes_cells(argv[1])) {
        char *const options[] = {argv[1], "--engine", engine, "--engine-host", host};

        for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
            words[at++] = options[i];
        from = 2;
    }
    while (from < argc)
        words[at++] = argv[from++];
    execv(program, words);
    return 125;
}
