/*
 * A file system in user space whose server takes requests and never answers them: who asks cannot
 * even be killed, since the kernel waits for an answer to what the server has read.
 *
 *   deaf-fs DIR [-o OPTIONS] [-f]   mounts itself on DIR, which shows
 *                                       file    can be looked at and opened; reading never ends
 *                                       dir     can be looked at; listing never ends
 *
 * Ends when it is killed or unmounted, upon which the kernel lets go of everybody.
 */
#define FUSE_USE_VERSION 34
#include <errno.h>
#include <fuse_lowlevel.h>
#include <string.h>
#include <unistd.h>

enum { FILE_INODE = FUSE_ROOT_ID + 1, DIR_INODE };

#define FOREVER 1e9 /* seconds */

static struct stat attributes(fuse_ino_t inode)
{
    return (struct stat){.st_ino = inode,
                         .st_mode = inode == FILE_INODE ? S_IFREG | 0644 : S_IFDIR | 0755,
                         .st_nlink = inode == FILE_INODE ? 1 : 2,
                         .st_size = inode == FILE_INODE ? 4096 : 0,
                         .st_uid = getuid(),
                         .st_gid = getgid()};
}

static void look_up(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    fuse_ino_t inode = strcmp(name, "file") == 0  ? (fuse_ino_t)FILE_INODE
                       : strcmp(name, "dir") == 0 ? (fuse_ino_t)DIR_INODE
                                                  : 0;
    struct fuse_entry_param entry = {
        .ino = inode, .attr = attributes(inode), .attr_timeout = 0, .entry_timeout = FOREVER};

    if (parent == FUSE_ROOT_ID && inode)
        fuse_reply_entry(request, &entry);
    else
        fuse_reply_err(request, ENOENT);
}

static void get_attributes(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    struct stat st = attributes(inode);

    (void)file;
    fuse_reply_attr(request, &st, 0);
}

static void open_any(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    (void)inode;
    file->direct_io = 1; /* who waits for the page cache can be killed; read(2) does not then */
    fuse_reply_open(request, file);
}

static void stay_silent(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
                        struct fuse_file_info *file)
{
    (void)request, (void)inode, (void)size, (void)offset, (void)file;
}

int main(int argc, char **argv)
{
    static const struct fuse_lowlevel_ops operations = {
        .lookup = look_up,
        .getattr = get_attributes,
        .open = open_any,
        .opendir = open_any,
        .read = stay_silent,
        .readdir = stay_silent,
    };
    struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
    struct fuse_cmdline_opts options;
    struct fuse_session *session;

    if (fuse_parse_cmdline(&args, &options) != 0 || !options.mountpoint)
        return 1;
    session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
    if (!session || fuse_session_mount(session, options.mountpoint) != 0 ||
        fuse_daemonize(options.foreground) != 0)
        return 1;
    fuse_session_loop(session);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    return 0;
}
