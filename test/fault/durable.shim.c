/*
 * Loaded before the C library, this keeps beside DURABLE_FILE a copy, DURABLE_COPY, that holds only what was synced: what
 * a disk would have after the power was cut at this moment, at the worst. A plain write goes to the file alone; fdatasync,
 * fsync and msync take over what was written until then, and a write to a descriptor opened with O_DSYNC or O_SYNC is
 * taken over alone. What a sync takes over goes to the copy before the sync returns, slowly and in disorder, so that the
 * process can be killed between.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096
#define REAL(name) ((__typeof__(&name))real(#name))

struct range {
  off_t from;
  size_t length;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct range *pending;
static size_t pending_count;
static size_t pending_room;
static int source = -1;
static int copy = -1;
static int was_truncated;

static void *real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == NULL) abort();
  return found;
}

static int is_durable_file(int fd) {
  const char *file = getenv("DURABLE_FILE");
  char link[64];
  char path[PATH_MAX];
  if (file == NULL || fd < 3) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  return strcmp(path, file) == 0;
}

static int open_files(void) {
  if (source < 0) source = REAL(open)(getenv("DURABLE_FILE"), O_RDONLY | O_CLOEXEC);
  if (copy < 0) copy = REAL(open)(getenv("DURABLE_COPY"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  return source >= 0 && copy >= 0;
}

static void take_over(off_t from, size_t length) {
  char page[PAGE];
  while (length > 0) {
    size_t part = length < PAGE ? length : PAGE;
    ssize_t count = pread(source, page, part, from);
    if (count <= 0) return;
    if (REAL(pwrite)(copy, page, (size_t)count, from) != count) abort();
    from += count;
    length -= (size_t)count;
  }
}

/* All that was written and not synced yet. */
static void take_over_pending(void) {
  const char *delay = getenv("DURABLE_DELAY_US");
  if (was_truncated) {
    struct stat about;
    if (fstat(source, &about) != 0 || REAL(ftruncate)(copy, about.st_size) != 0) abort();
    was_truncated = 0;
  }
  while (pending_count > 0) {
    size_t picked = (size_t)rand() % pending_count;
    struct range range = pending[picked];
    pending[picked] = pending[--pending_count];
    take_over(range.from, range.length);
    if (delay != NULL) usleep((useconds_t)atoi(delay));
  }
}

static void wrote(int fd, off_t from, size_t length) {
  int flags = fcntl(fd, F_GETFL);
  pthread_mutex_lock(&lock);
  if (!open_files()) abort();
  if ((flags & O_DSYNC) != 0) {
    take_over(from, length);
  } else {
    if (pending_count == pending_room) {
      pending_room = pending_room == 0 ? 64 : 2 * pending_room;
      pending = realloc(pending, pending_room * sizeof *pending);
      if (pending == NULL) abort();
    }
    pending[pending_count++] = (struct range){from, length};
  }
  pthread_mutex_unlock(&lock);
}

static void synced(void) {
  pthread_mutex_lock(&lock);
  if (!open_files()) abort();
  take_over_pending();
  pthread_mutex_unlock(&lock);
}

static void note_write(int fd, off_t from, ssize_t result) {
  int error = errno;
  if (result > 0 && is_durable_file(fd)) wrote(fd, from, (size_t)result);
  errno = error;
}

/* Behind a write that moved the descriptor's own place. */
static void note_write_here(int fd, ssize_t result) {
  int error = errno;
  if (result > 0 && is_durable_file(fd)) wrote(fd, lseek(fd, 0, SEEK_CUR) - result, (size_t)result);
  errno = error;
}

static void note_sync(int fd, int result) {
  int error = errno;
  if (result == 0 && is_durable_file(fd)) synced();
  errno = error;
}

ssize_t write(int fd, const void *bytes, size_t count) {
  ssize_t result = REAL(write)(fd, bytes, count);
  note_write_here(fd, result);
  return result;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  ssize_t result = REAL(writev)(fd, parts, count);
  note_write_here(fd, result);
  return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t from) {
  ssize_t result = REAL(pwrite)(fd, bytes, count, from);
  note_write(fd, from, result);
  return result;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t from) {
  ssize_t result = REAL(pwrite64)(fd, bytes, count, from);
  note_write(fd, from, result);
  return result;
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t from) {
  ssize_t result = REAL(pwritev)(fd, parts, count, from);
  note_write(fd, from, result);
  return result;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t from) {
  ssize_t result = REAL(pwritev64)(fd, parts, count, from);
  note_write(fd, from, result);
  return result;
}

static void note_truncation(int fd, int result) {
  if (result != 0 || !is_durable_file(fd)) return;
  pthread_mutex_lock(&lock);
  was_truncated = 1;
  pthread_mutex_unlock(&lock);
}

int ftruncate(int fd, off_t length) {
  int result = REAL(ftruncate)(fd, length);
  note_truncation(fd, result);
  return result;
}

int ftruncate64(int fd, off64_t length) {
  int result = REAL(ftruncate64)(fd, length);
  note_truncation(fd, result);
  return result;
}

int fdatasync(int fd) {
  int result = REAL(fdatasync)(fd);
  note_sync(fd, result);
  return result;
}

int fsync(int fd) {
  int result = REAL(fsync)(fd);
  note_sync(fd, result);
  return result;
}

/* What is written through a map is not seen here: it counts with all of the file. */
int msync(void *from, size_t length, int flags) {
  int result = REAL(msync)(from, length, flags);
  struct stat about;
  if (result != 0 || getenv("DURABLE_FILE") == NULL) return result;
  pthread_mutex_lock(&lock);
  if (open_files() && fstat(source, &about) == 0) {
    take_over_pending();
    take_over(0, (size_t)about.st_size);
  }
  pthread_mutex_unlock(&lock);
  return result;
}
