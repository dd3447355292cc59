// A library that stands between a program and libc (LD_PRELOAD) and makes the disk fail and the clock jump, as the
// files in the directory HOLDFAST_INTERPOSER say at that moment:
//
//   rules   one rule a line: OPERATION PART ACTION. OPERATION is write, flush, allocate, or direct (opening with O_DIRECT,
//           which then fails with EINVAL as where a file system has no such thing); a rule holds for files whose path
//           contains PART; ACTION is an error (EIO, ENOSPC) or stall, which waits until the rule is gone.
//   source  is no file: HOLDFAST_SOURCE is the address that outgoing connections begin at.
//   clock   eight bytes, little-endian and signed: nanoseconds that the time of day is ahead of the machine's.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { RULES_MAX = 16 };

struct rule {
    char operation[16];
    char part[256];
    char action[16];
};

static char rules_path[PATH_MAX];
static const volatile int64_t *clock_offset;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule rules[RULES_MAX];
static int rule_count;
static ino_t rules_inode;
static int64_t rules_time;

__attribute__((constructor)) static void begin(void) {
    const char *directory = getenv("HOLDFAST_INTERPOSER");
    if (!directory) return;
    snprintf(rules_path, sizeof rules_path, "%s/rules", directory);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/clock", directory);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return;
    void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (mapped != MAP_FAILED) clock_offset = mapped;
}

// Reads the rules again if their file is another one than before: it is replaced by renaming, never changed.
static void reload(void) {
    struct stat found;
    if (stat(rules_path, &found) != 0) {
        rule_count = 0;
        rules_inode = 0;
        return;
    }
    int64_t changed = found.st_mtim.tv_sec * 1000000000LL + found.st_mtim.tv_nsec;
    if (found.st_ino == rules_inode && changed == rules_time) return;
    rules_inode = found.st_ino;
    rules_time = changed;
    rule_count = 0;
    FILE *file = fopen(rules_path, "re");
    if (!file) return;
    struct rule *rule = rules;
    while (rule_count < RULES_MAX && fscanf(file, "%15s %255s %15s", rule->operation, rule->part, rule->action) == 3) {
        rule_count++;
        rule++;
    }
    fclose(file);
}

// The error that a call on a descriptor, or on the path that is given, is to fail with; 0 for none, -1 for a wait.
static int verdict(const char *operation, int descriptor, const char *given) {
    int error = 0;
    pthread_mutex_lock(&lock);
    reload();
    if (rule_count > 0) {
        char link[64], path[PATH_MAX];
        if (given) {
            snprintf(path, sizeof path, "%s", given);
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
            ssize_t count = readlink(link, path, sizeof path - 1);
            path[count < 0 ? 0 : count] = 0;
        }
        for (int place = 0; place < rule_count && error == 0; place++) {
            const struct rule *rule = &rules[place];
            if (strcmp(rule->operation, operation) != 0 || !strstr(path, rule->part)) continue;
            if (strcmp(rule->action, "stall") == 0) error = -1;
            else if (strcmp(rule->action, "ENOSPC") == 0) error = ENOSPC;
            else error = EIO;
        }
    }
    pthread_mutex_unlock(&lock);
    return error;
}

// False with errno set if the call is to fail. Waits where a rule says so. The caller's errno stays otherwise.
static bool passes(const char *operation, int descriptor) {
    if (!rules_path[0]) return true;
    int before = errno;
    int error;
    while ((error = verdict(operation, descriptor, NULL)) < 0) {
        struct timespec pause = {0, 2000000};
        nanosleep(&pause, NULL);
    }
    errno = error ? error : before;
    return error == 0;
}

#define FORWARD(result, name, operation, failed, parameters, arguments)      \
    result name parameters {                                                 \
        static result(*next) parameters;                                     \
        if (!next) next = (result(*) parameters)dlsym(RTLD_NEXT, #name);     \
        if (!passes(operation, descriptor)) return failed;                   \
        return next arguments;                                               \
    }

FORWARD(ssize_t, write, "write", -1, (int descriptor, const void *bytes, size_t count), (descriptor, bytes, count))
FORWARD(ssize_t, pwrite, "write", -1, (int descriptor, const void *bytes, size_t count, off_t offset),
        (descriptor, bytes, count, offset))
FORWARD(ssize_t, pwrite64, "write", -1, (int descriptor, const void *bytes, size_t count, off64_t offset),
        (descriptor, bytes, count, offset))
FORWARD(ssize_t, writev, "write", -1, (int descriptor, const struct iovec *parts, int count),
        (descriptor, parts, count))
FORWARD(int, fsync, "flush", -1, (int descriptor), (descriptor))
FORWARD(int, fdatasync, "flush", -1, (int descriptor), (descriptor))
FORWARD(int, fallocate, "allocate", -1, (int descriptor, int mode, off_t offset, off_t count),
        (descriptor, mode, offset, count))
FORWARD(int, fallocate64, "allocate", -1, (int descriptor, int mode, off64_t offset, off64_t count),
        (descriptor, mode, offset, count))

static int open_unless_direct(const char *name, const char *path, int flags, mode_t mode) {
    int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
    if ((flags & O_DIRECT) && rules_path[0] && verdict("direct", -1, path) != 0) {
        errno = EINVAL;
        return -1;
    }
    return next(path, flags, mode);
}

#define OPEN(name)                                            \
    int name(const char *path, int flags, ...) {              \
        mode_t mode = 0;                                      \
        if (flags & (O_CREAT | O_TMPFILE)) {                  \
            va_list rest;                                     \
            va_start(rest, flags);                            \
            mode = va_arg(rest, mode_t);                      \
            va_end(rest);                                     \
        }                                                     \
        return open_unless_direct(#name, path, flags, mode);  \
    }

OPEN(open)
OPEN(open64)

// Tells who dials: all nodes of a test have one address otherwise.
int connect(int descriptor, const struct sockaddr *address, socklen_t count) {
    static int (*next)(int, const struct sockaddr *, socklen_t);
    if (!next) next = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
    const char *source = getenv("HOLDFAST_SOURCE");
    if (source && address->sa_family == AF_INET) {
        struct sockaddr_in from = {.sin_family = AF_INET};
        if (inet_pton(AF_INET, source, &from.sin_addr) == 1) (void)bind(descriptor, (struct sockaddr *)&from, sizeof from);
    }
    return next(descriptor, address, count);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*next)(clockid_t, struct timespec *);
    if (!next) next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = next(clock, time);
    if (result == 0 && clock_offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t whole = time->tv_sec * 1000000000LL + time->tv_nsec + *clock_offset;
        time->tv_sec = whole / 1000000000LL;
        time->tv_nsec = whole % 1000000000LL;
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *answer) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    if (answer) *answer = now.tv_sec;
    return now.tv_sec;
}
