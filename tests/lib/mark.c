/*
 * A program, or a library, that leaves a mark: it appends its name to MARK when it is started or
 * loaded. Images carry it under the names of programs and libraries that a careless engine would
 * use out of them.
 *
 *   cc -DMARK='"/a/file"' -o PROGRAM mark.c         cc -shared -fPIC … -o LIBRARY mark.c
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

__attribute__((constructor)) static void leave_mark(void)
{
    char name[256];
    ssize_t n = readlink("/proc/self/exe", name, sizeof(name));
    int fd = open(MARK, O_WRONLY | O_CREAT | O_APPEND, 0666);

    if (fd >= 0 && n > 0)
        (void)!write(fd, name, (size_t)n);
    if (fd >= 0)
        (void)!write(fd, "\n", 1);
}

int main(void)
{
    return 0;
}
