/* Other people's programs that stepcell starts: looked for in fixed folders, never along $PATH. */
#ifndef STEPCELL_BASE_PROGRAM_H
#define STEPCELL_BASE_PROGRAM_H

#define PROGRAM_PATH_MAX 128

/* The $PATH that such a program gets, when the caller's is not for it. */
#define PROGRAM_SEARCH "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"

/* Where a program lies, out of the folders where distributions put it, or NULL. */
const char *program_find(const char *name, char path[PROGRAM_PATH_MAX]);

#endif
