/* Ends by the signal whose number is given: shells ignore some. Built with musl-gcc for any cell. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    kill(getpid(), argc > 1 ? atoi(argv[1]) : 0);
    return 0;
}
