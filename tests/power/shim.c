/* Notes what a program does to the files below one directory, in the order in which it does it; and, where asked, lets syncs fail.
 *
 * To be preloaded. RTC_SHIM_DIR is the directory, RTC_SHIM_LOG the file that takes the notes; while the file RTC_SHIM_FAIL exists every
 * sync below the directory fails with EIO, and while there is anything in it, every sync of a directory. A note, in the machine's byte
 * order:
 *   u8 kind, u32 bytes of path, u64 number, u32 bytes of data, path (relative to the directory), data
 * Kinds: c created, t length set to number, w data written at number, s synced, f a sync failed, u unlinked, r renamed to data. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS 4096
/* Looks up the function that would have been called. Not kept: a program is not recorded for its speed. */
#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))
typedef int (*open_fn)(const char *, int, ...);
typedef ssize_t (*write_fn)(int, const void *, size_t);
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);
typedef int (*truncate_fn)(int, off_t);
typedef int (*sync_fn)(int);
typedef int (*name_fn)(const char *);
typedef int (*names_fn)(const char *, const char *);

static char dir[PATH_MAX];
static size_t dir_len;
static int log_fd = -1;
static char *paths[DESCRIPTORS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("RTC_SHIM_DIR"), *notes = getenv("RTC_SHIM_LOG");
    if (!where || !notes || !realpath(where, dir)) return;
    dir_len = strlen(dir);
    log_fd = REAL(open_fn, "open")(notes, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The path below the directory; NULL for one elsewhere. */
static const char *below(const char *path) {
    if (log_fd < 0 || !path || strncmp(path, dir, dir_len) != 0) return NULL;
    if (path[dir_len] == '\0') return path + dir_len;
    return path[dir_len] == '/' ? path + dir_len + 1 : NULL;
}

static const char *path_of(int fd) { return log_fd >= 0 && fd >= 0 && fd < DESCRIPTORS ? paths[fd] : NULL; }

static void note(char kind, const char *path, uint64_t number, const void *data, size_t len) {
    uint32_t path_len = (uint32_t)strlen(path), data_len = (uint32_t)len;
    struct iovec parts[6] = {{&kind, 1}, {&path_len, 4}, {&number, 8}, {&data_len, 4}, {(void *)path, path_len}, {(void *)data, len}};
    pthread_mutex_lock(&lock);
    if (writev(log_fd, parts, 6) != (ssize_t)(17 + path_len + len)) abort();
    pthread_mutex_unlock(&lock);
}

static int opened(const char *name, const char *path, int flags, mode_t mode) {
    const char *known = below(path);
    int is_new = known && (flags & O_CREAT) && access(path, F_OK) != 0;
    int fd = REAL(open_fn, name)(path, flags, mode);
    if (fd < 0 || fd >= DESCRIPTORS) return fd;
    free(paths[fd]);
    paths[fd] = known ? strdup(known) : NULL;
    if (is_new) note('c', known, 0, "", 0);
    else if (known && (flags & O_TRUNC)) note('t', known, 0, "", 0);
    return fd;
}

#define OPEN(name)                                                            \
    int name(const char *path, int flags, ...) {                              \
        va_list rest;                                                         \
        va_start(rest, flags);                                                \
        mode_t mode = (flags & O_CREAT) ? (mode_t)va_arg(rest, int) : 0;      \
        va_end(rest);                                                         \
        return opened(#name, path, flags, mode);                              \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    /* A daemon closes all it inherited; the notes are ours. */
    if (fd == log_fd && fd >= 0) return 0;
    if (fd >= 0 && fd < DESCRIPTORS) {
        free(paths[fd]);
        paths[fd] = NULL;
    }
    return REAL(sync_fn, "close")(fd);
}

ssize_t write(int fd, const void *data, size_t len) {
    const char *path = path_of(fd);
    off_t end = path ? lseek(fd, 0, (fcntl(fd, F_GETFL) & O_APPEND) ? SEEK_END : SEEK_CUR) : 0;
    ssize_t written = REAL(write_fn, "write")(fd, data, len);
    if (path && written > 0) note('w', path, (uint64_t)end, data, (size_t)written);
    return written;
}

static ssize_t written_at(const char *name, int fd, const void *data, size_t len, off_t at) {
    const char *path = path_of(fd);
    ssize_t written = REAL(pwrite_fn, name)(fd, data, len, at);
    if (path && written > 0) note('w', path, (uint64_t)at, data, (size_t)written);
    return written;
}
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) { return written_at("pwrite", fd, data, len, at); }
ssize_t pwrite64(int fd, const void *data, size_t len, off_t at) { return written_at("pwrite64", fd, data, len, at); }

static int cut(const char *name, int fd, off_t len) {
    const char *path = path_of(fd);
    int result = REAL(truncate_fn, name)(fd, len);
    if (path && result == 0) note('t', path, (uint64_t)len, "", 0);
    return result;
}
int ftruncate(int fd, off_t len) { return cut("ftruncate", fd, len); }
int ftruncate64(int fd, off_t len) { return cut("ftruncate64", fd, len); }

static int is_to_fail(int fd) {
    const char *fail = getenv("RTC_SHIM_FAIL");
    struct stat how, what;
    if (!fail || stat(fail, &how) != 0) return 0;
    return how.st_size == 0 || (fstat(fd, &what) == 0 && S_ISDIR(what.st_mode));
}

static int synced(const char *name, int fd) {
    const char *path = path_of(fd);
    if (path && is_to_fail(fd)) {
        note('f', path, 0, "", 0);
        errno = EIO;
        return -1;
    }
    int result = REAL(sync_fn, name)(fd);
    if (path && result == 0) note('s', path, 0, "", 0);
    return result;
}
int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }

int unlink(const char *path) {
    const char *known = below(path);
    int result = REAL(name_fn, "unlink")(path);
    if (known && result == 0) note('u', known, 0, "", 0);
    return result;
}

int rename(const char *from, const char *to) {
    const char *before = below(from), *after = below(to);
    int result = REAL(names_fn, "rename")(from, to);
    if (before && after && result == 0) note('r', before, 0, after, strlen(after));
    return result;
}
