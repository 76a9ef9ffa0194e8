/*
 * Files: whole reads and writes that survive EINTR and short counts.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "server/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* 0 or -errno. */
int file_write_all(int fd, const void *bytes, size_t length);
int file_pwrite_all(int fd, const void *bytes, size_t length, uint64_t offset);

/* Bytes read, less than `length` only at the end of the file; or -errno. */
ssize_t file_pread_all(int fd, void *target, size_t length, uint64_t offset);

/* mkdir -p with mode 0700 for what it makes. 0 or -errno (ENOTDIR when a file
 * stands in the way). */
int file_make_directories(const char *path);

/* Makes a folder that was there before, and with it at most the one that it lies in:
 * should more be gone, a disk may be missing. 0 or -errno. */
int file_make_again(const char *path);

/* The whole file, NUL-terminated, at most `max` bytes (BW_TOO_LARGE), a file
 * that is not there BW_ABSENT. The caller frees *ret_text; ret_length may be
 * NULL. */
enum status file_read(const char *path, size_t max, char **ret_text, size_t *ret_length,
		      struct error *error);

/* A secret's file: like file_read with 64 KiB, without one trailing newline
 * (LF or CRLF); empty or with a NUL byte is BW_INVALID. */
enum status file_read_secret(const char *path, char **ret_text, struct error *error);

/* What tells a file from what was there under its name before; all zeros: it is not
 * there. */
struct file_stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed;
};
struct file_stamp file_stamp_of(const char *path);
bool file_stamp_equals(const struct file_stamp *a, const struct file_stamp *b);

/* A text that is another one after each start of the machine, to be freed; NULL when the
 * system does not say. */
char *file_read_boot_id(void);

#endif
